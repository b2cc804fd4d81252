/* Text in a buffer of fixed size (see text.h). */
#include "base/text.h"

void text_span(struct text *text, const char *start, size_t length) {
  for (size_t i = 0; i < length; i++, text->length++) {
    if (text->length + 1 >= text->capacity) continue;
    text->data[text->length] = start[i];
    text->data[text->length + 1] = 0;
  }
}

void text_string(struct text *text, const char *string) {
  text_span(text, string, text_length(string));
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

/* It is spoken from its first digits on: eight, eighteen thousand, eleven million. */
void text_with_article(struct text *text, uint64_t number) {
  uint64_t first = number;
  while (first >= 1000) first /= 1000;
  bool vowel = first == 8 || first == 11 || first == 18 || first / 10 == 8 || first / 100 == 8;
  text_around(text, vowel ? "an " : "a ", number, "");
}

void text_around(struct text *text, const char *before, uint64_t value, const char *after) {
  text_string(text, before);
  text_decimal(text, value);
  text_string(text, after);
}

void text_hex(struct text *text, uint64_t value, unsigned digits) {
  text_string(text, "0x");
  text_number(text, value, 16, digits);
}

/* Bytes of the character that begins there, if it is one (RFC 3629): 1 to 4; 0 for none. */
RARE static size_t character_length(const unsigned char *bytes, size_t length) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char first = bytes[0];
  size_t count = first < 0x80       ? 1
                 : first >> 5 == 6  ? 2
                 : first >> 4 == 14 ? 3
                 : first >> 3 == 30 ? 4
                                    : 0;
  if (count < 2 || count > length) return count == 1;
  uint32_t code = first & (0x7fu >> count);
  for (size_t i = 1; i < count; i++) {
    if (bytes[i] >> 6 != 2) return 0;
    code = code << 6 | (bytes[i] & 0x3f);
  }
  return code >= least[count] && code < 0x110000 && code >> 11 != 27 ? count : 0;
}

/* A byte that is in no character of UTF-8 is escaped as a lone surrogate, which is how Python has
 * such names (PEP 383). */
void text_quoted(struct text *text, const char *string, size_t length) {
  text_string(text, "\"");
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)string[i];
    size_t count = character_length((const unsigned char *)string + i, length - i);
    if (count > 1) {
      text_span(text, &string[i], count);
      i += count - 1;
      continue;
    }
    if (!count) {
      text_string(text, "\\udc");
      text_number(text, c, 16, 2);
      continue;
    }
    if (c < 0x20) {
      text_string(text, "\\u00");
      text_span(text, c < 0x10 ? "0" : "1", 1);
      text_span(text, &"0123456789abcdef"[c % 16], 1);
      continue;
    }
    if (c == '"' || c == '\\') text_string(text, "\\");
    text_span(text, &string[i], 1);
  }
  text_string(text, "\"");
}

size_t text_length(const char *string) {
  size_t length = 0;
  while (string[length]) length++;
  return length;
}

const char *text_past(const char *string, const char *prefix) {
  while (*prefix && *string == *prefix) string++, prefix++;
  return *prefix ? NULL : string;
}

bool text_is(const char *string, const char *span, size_t length) {
  for (; length && *string && *string == *span; length--) string++, span++;
  return !length && !*string;
}

const char *text_after(const char *string, const char *key) {
  const char *past = text_past(string, key);
  for (; !past && *string; string++) past = text_past(string + 1, key);
  return past;
}

size_t text_until(const char *string, size_t length, char stop) {
  size_t at = 0;
  while (at < length && string[at] != stop) at++;
  return at;
}

uint64_t text_take_hex(const char **at) {
  uint64_t value = 0;
  for (;; ++*at) {
    char c = **at;
    if (c >= '0' && c <= '9')
      value = value << 4 | (uint64_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
      value = value << 4 | (uint64_t)(c - 'a' + 10);
    else
      return value;
  }
}
