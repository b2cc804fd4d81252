/* Text in a buffer of fixed size, without stdio, locale or allocation: reports, options, JSON.
 * What does not fit is dropped, and still counted in `length`, as snprintf(3) counts. All
 * functions are async-signal-safe. */
#ifndef PATALLOC_TEXT_H
#define PATALLOC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
  char *data;
  size_t capacity, length;
};

#define TEXT(buffer) ((struct text){(buffer), sizeof(buffer), 0})

void text_string(struct text *text, const char *string);
void text_span(struct text *text, const char *start, size_t length);
void text_decimal(struct text *text, uint64_t value);
void text_hex(struct text *text, uint64_t value, unsigned digits); /* at least `digits` of them */

#endif
