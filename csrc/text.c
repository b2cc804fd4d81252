/* Text in a buffer of fixed size (see text.h). */
#include "text.h"

#include <string.h>

void text_span(struct text *text, const char *start, size_t length) {
  for (size_t i = 0; i < length; i++, text->length++) {
    if (text->length + 1 >= text->capacity) continue;
    text->data[text->length] = start[i];
    text->data[text->length + 1] = 0;
  }
}

void text_string(struct text *text, const char *string) {
  text_span(text, string, strlen(string));
}

static void text_number(struct text *text, uint64_t value, unsigned base, unsigned digits) {
  char reversed[24], forward[24];
  unsigned count = 0;
  do reversed[count++] = "0123456789abcdef"[value % base];
  while ((value /= base) || count < digits);
  for (unsigned i = 0; i < count; i++) forward[i] = reversed[count - 1 - i];
  text_span(text, forward, count);
}

void text_decimal(struct text *text, uint64_t value) {
  text_number(text, value, 10, 1);
}

void text_hex(struct text *text, uint64_t value, unsigned digits) {
  text_string(text, "0x");
  text_number(text, value, 16, digits);
}
