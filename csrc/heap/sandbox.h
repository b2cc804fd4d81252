/* Programs that sandbox themselves (os/sandbox.h). */
#ifndef PATALLOC_HEAP_SANDBOX_H
#define PATALLOC_HEAP_SANDBOX_H

#include "heap/heap.h"

/* Does all for which a heap makes other system calls than malloc does, and has it make none from
 * then on: features are probed, limits asked for, the first files of pattern pages made. Longer
 * ones can't be any more, nor is it looked in the page table for what was written. */
RARE void heap_enter_sandbox(struct patalloc_heap *heap);

#endif
