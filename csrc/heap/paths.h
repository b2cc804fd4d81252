/* Which paths a heap's requests take, chosen by its options. */
#ifndef PATALLOC_PATHS_H
#define PATALLOC_PATHS_H

#include "heap/heap.h"

/* Makes a heap of zeroed memory whose options are set. */
void paths_start(struct patalloc_heap *heap);

/* Once more, after options have changed; with the heap's lock held. */
void paths_choose_small(struct patalloc_heap *heap);

#endif
