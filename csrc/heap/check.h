/* Looking for what is wrong in blocks that nobody frees: what was written around live ones
 * (slack_check), and to those that were freed and wait. */
#ifndef PATALLOC_CHECK_H
#define PATALLOC_CHECK_H

#include "watch/report.h"

/* Looks at the blocks of all heaps; what is found is told as found by `call`. Locks are not waited
 * for, and what threads are at is left out. Async-signal-safe. */
RARE void check_all(const char *call, report_tell *tell);

/* When the process ends: what is found is an error in a heap. */
struct patalloc_heap;
RARE void check_at_exit(struct patalloc_heap *heap);

#endif
