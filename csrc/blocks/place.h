/* New blocks, on address space that has held none: where they come to lie. The granules of a slot
 * or of a solo run hold a guard, the block's pages, a guard. */
#ifndef PATALLOC_PLACE_H
#define PATALLOC_PLACE_H

#include "blocks/arena.h"

/* A new block of `size` bytes, guards in place: its granule, in the state BUSY. 0 with errno where
 * there is no address space to be had. Thread-safe, as all of these. */
uint32_t place_new(struct arena *arena, size_t size, size_t alignment);

/* The same with a run of its own, for a block that is given back by arena_retire. */
RARE uint32_t place_alone(struct arena *arena, size_t size, size_t alignment);

/* The block of a solo run that nobody else knows yet: its granule, BUSY. */
uint32_t place_solo(struct arena *arena, uint32_t run, uintptr_t address, size_t size);

#endif
