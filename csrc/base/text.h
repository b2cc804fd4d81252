/* Text in a buffer of fixed size, without stdio, locale or allocation: reports, options, JSON.
 * What does not fit is dropped, and still counted in `length`, as snprintf(3) counts. All
 * functions are async-signal-safe. */
#ifndef PATALLOC_TEXT_H
#define PATALLOC_TEXT_H

#include "base/rare.h"

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
RARE void text_around(struct text *text, const char *before, uint64_t value, const char *after);
RARE void text_with_article(struct text *text, uint64_t number);   /* a 12, an 8, an 11 */
void text_hex(struct text *text, uint64_t value, unsigned digits); /* at least `digits` of them */

RARE void text_quoted(struct text *text, const char *string, size_t length); /* as JSON has it */

/* Reading. Those of <string.h> lie in pages of the C library that a process may never read
 * otherwise. */
size_t text_length(const char *string);
bool text_is(const char *string, const char *span, size_t length); /* whether they are equal */
const char *text_past(const char *string, const char *prefix);     /* NULL: starts otherwise */
const char *text_after(const char *string, const char *key);       /* NULL: not in there */
size_t text_until(const char *string, size_t length, char stop);   /* `length`: not in there */
RARE uint64_t text_take_hex(const char **at); /* the digits there, and goes past them; 0 for none */

#endif
