/* Which paths a heap's requests take, chosen by its options. */
#ifndef PATALLOC_PATHS_H
#define PATALLOC_PATHS_H

#include "heap/heap.h"

/* Sets what follows from the options, which have been set or changed. Of a heap that others may use
 * with its lock held. */
void heap_heed_options(struct patalloc_heap *heap);

#endif
