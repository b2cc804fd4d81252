/* Small requests with care: their slack is checked (slack_check=all; watch/ledger.h), some hold
 * another pattern (watch/hunt.h), and what is freed is filled (small_fill=both). */
#ifndef PATALLOC_CAREFUL_H
#define PATALLOC_CAREFUL_H

#include "heap/heap.h"
#include "watch/hunt.h"
#include "watch/slack.h"

/* Whether a heap with these options handles small requests so. */
USUAL bool careful_is_due(const struct options *options);

/* Whether the primary still has a block of that size there. Where it keeps the size in front of it,
 * which the program may have overwritten, its own function is not asked: it goes by it. */
struct small_block;
bool careful_is_current(const struct small_block *block);

/* Memory that a pool of the program's own hands out gets the heap's pattern, or as a hunt has it.
 */
RARE void careful_renew(struct patalloc_heap *heap, void *memory, size_t size);

extern const struct small_path small_careful;

#endif
