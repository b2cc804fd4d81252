/* The heap that the interposed functions share. */
#ifndef PATALLOC_INTERPOSE_H
#define PATALLOC_INTERPOSE_H

#include "heap/heap.h"

/* The process's heap; NULL while it is being started. */
RARE struct patalloc_heap *interposed_heap(void);

/* Before a thread is made. */
RARE void interposed_expect_thread(void);

#endif
