/* Large requests in a hunt (watch/hunt.h): each block has a run of its own, whatever it holds, and
 * is released by free, so that where blocks lie does not depend on what they hold. */
#ifndef PATALLOC_HUNTED_H
#define PATALLOC_HUNTED_H

#include "heap/heap.h"

/* As block_path has them. A resize is always by copying: what it gives is an allocation like any
 * other. */
uint32_t hunted_take(struct patalloc_heap *heap, const struct request *request,
                     enum block_fill *fill);
void hunted_give(struct patalloc_heap *heap, uint32_t granule);
void *hunted_resize(struct patalloc_heap *heap, uint32_t granule, size_t size);

#endif
