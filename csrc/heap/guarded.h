/* Small requests with a guard each: all of them, or one in so many (guard_small), or those by call
 * stacks that are chosen (guard_sites). Those of up to a
 * page get slots (blocks/slot.h), those beyond blocks as large requests do, which wait in
 * quarantine when they are freed. The others go the way that they would go without. */
#ifndef PATALLOC_GUARDED_H
#define PATALLOC_GUARDED_H

#include "heap/heap.h"
#include "watch/report.h"

/* Whether a heap with these options handles small requests so: not where a hunt counts them. */
USUAL bool guarded_is_due(const struct options *options);

/* Reads which call stacks are chosen. */
RARE void guarded_start(struct patalloc_heap *heap);

/* Looks at those that were freed and wait and, if faults are handled, around those that live, as
 * check_all has it. */
RARE void guarded_look(const char *call, report_tell *tell, bool recovers);

extern const struct small_path small_guarded;

#endif
