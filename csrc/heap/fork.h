/* Heaps and fork(2): all locks are taken first, so that a child starts with a working heap, and
 * with counts of its own. Signals are blocked meanwhile, but for faults: and so while handlers of
 * pthread_atfork(3) run that were set before ours. */
#ifndef PATALLOC_FORK_H
#define PATALLOC_FORK_H

#include "heap/heap.h"

/* Has it so from here on. Not before there are threads, or a need to count or to report: the C
 * library's part of it lies in pages that a process may never read otherwise. Of threads that the
 * preloaded library did not see made, fork_expect learns when they allocate. */
void fork_handle(void);
extern _Atomic bool fork_handled;
static inline void fork_expect(void) {
  if (!atomic_load_explicit(&fork_handled, memory_order_relaxed) && !SINGLE_THREADED) fork_handle();
}

/* Counts a heap among those whose locks are taken; once only. And no longer. */
void fork_enlist(struct patalloc_heap *heap);
RARE void fork_delist(struct patalloc_heap *heap);

#endif
