/* Blocks that grow or shrink: within their run, by moving their pages, or by copying. Any threads
 * may do so at the same time, with blocks that are theirs alone (BUSY). */
#ifndef PATALLOC_RESIZE_H
#define PATALLOC_RESIZE_H

#include "blocks/arena.h"

/* A larger block in this arena with the content of one in this or another, by moving its pages or
 * by copying (*moved says which), at the same place in a page, with room to grow further. The old
 * block stays BUSY, its pages to be reset. 0 where that can't be done: the old block is as it was.
 */
uint32_t resize_move(struct arena *arena, uint32_t granule, size_t size, bool *moved);

/* Makes a live block larger without moving it. False where there is no room. */
bool resize_grow(struct arena *arena, uint32_t granule, size_t size);

/* Makes the pages inaccessible that a block smaller by now does not need. */
void resize_shrink(struct arena *arena, uint32_t granule, size_t size);

#endif
