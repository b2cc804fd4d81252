/* What can be learnt of heaps, options and the machine, as data; patalloc.h has most of it. */
#ifndef PATALLOC_FACTS_H
#define PATALLOC_FACTS_H

#include "heap/heap.h"

/* Writes the stats to where the option says, if it does; at exit. */
RARE void heap_write_stats_there(struct patalloc_heap *heap);
static inline void heap_write_stats(struct patalloc_heap *heap) {
  if (*heap->options.stats) heap_write_stats_there(heap);
}

#endif
