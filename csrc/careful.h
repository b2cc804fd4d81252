/* Small requests with care: their slack is checked (slack_check=all), and some hold another pattern
 * (hunt.h), and what is freed is filled (small_fill=both). For the first a small block has a tail,
 * at the end of what the primary gave.
 */
#ifndef PATALLOC_CAREFUL_H
#define PATALLOC_CAREFUL_H

#include "hunt.h"
#include "slack.h"

/* Whether a heap with these options handles small requests so. */
static inline bool careful_is_due(const struct options *options) {
  bool fills = options->small_fill == SMALL_FILL_BOTH && options->pattern.size;
  return fills || slack_checks(options, SLACK_ALL) || hunt_is_asked_for(options);
}

/* As those of the primary, with the pattern. */
void *careful_aligned(struct patalloc_heap *heap, size_t alignment, size_t size);
void *careful_calloc(struct patalloc_heap *heap, size_t size);
void careful_free(struct patalloc_heap *heap, void *pointer);

/* Of a block of which `have` bytes may be used. */
void *careful_realloc(struct patalloc_heap *heap, void *pointer, size_t have, size_t size);

/* The bytes that may be used; `call` is who asks, for what is found overwritten. */
size_t careful_usable_size(struct patalloc_heap *heap, const char *call, void *pointer);

#endif
