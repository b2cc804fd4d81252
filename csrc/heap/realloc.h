/* Resizing: small blocks; and large ones, within their pages, in place beyond them, by moving
 * pages, by copying. */
#ifndef PATALLOC_REALLOC_H
#define PATALLOC_REALLOC_H

#include "heap/heap.h"

/* Of a small block, to any size. */
void *realloc_small(struct patalloc_heap *heap, void *pointer, size_t size);

/* As large_path and block_path have them. */
void *realloc_large(struct patalloc_heap *heap, void *pointer, size_t size);
void *realloc_resize(struct patalloc_heap *heap, uint32_t granule, size_t size);

#endif
