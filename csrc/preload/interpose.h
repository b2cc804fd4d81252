/* The heap that the interposed functions share. */
#ifndef PATALLOC_INTERPOSE_H
#define PATALLOC_INTERPOSE_H

#include "heap/heap.h"

extern struct patalloc_heap process_heap;

/* It; NULL while it is being started. */
struct patalloc_heap *interposed_heap(void);

#endif
