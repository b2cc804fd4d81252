/* Large requests where machines have memory tags. What the allocator itself does to blocks' memory
 * is not checked, as it has addresses, and no tagged pointers. */
#ifndef PATALLOC_TAGGED_H
#define PATALLOC_TAGGED_H

#include "heap/heap.h"

/* As large_path has them. */
void *tagged_allocate(struct patalloc_heap *heap, const struct request *request);
void tagged_free(struct patalloc_heap *heap, void *pointer);
void *tagged_realloc(struct patalloc_heap *heap, void *pointer, size_t size);

#endif
