/* Small requests in slots, with a guard each (blocks/slot.h): all of them, or one in so many
 * (guard_small). The others go the way that they would go without. */
#ifndef PATALLOC_GUARDED_H
#define PATALLOC_GUARDED_H

#include "heap/heap.h"

/* Whether a heap with these options handles small requests so: not where a hunt counts them. */
USUAL bool guarded_is_due(const struct options *options);

/* Looks at those that were freed and wait, and around those that live, when the process ends. */
RARE void guarded_end(struct patalloc_heap *heap);

extern const struct small_path small_guarded;

#endif
