/* Writing a pattern with stores: small requests, blocks without a refpage, and the few bytes that a
 * resize leaves in a page. */
#ifndef PATALLOC_FILL_H
#define PATALLOC_FILL_H

#include "base/option.h"

/* Fills [start, start + size) so that each byte has the value it has in an infinite repetition of
 * the pattern from address 0. No-op for no pattern. Async-signal-safe. */
void fill_pattern(struct pattern pattern, void *start, size_t size);

/* Whether that many bytes can be written without running out of memory. */
bool fill_fits(size_t size);

#endif
