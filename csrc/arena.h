/* Arenas: the blocks of one heap that come from one refpage, and the cache of those that were
 * freed. A freed block keeps its place, its mapping and its guards, so that the next request of its
 * size takes it without a system call. Runs in which no block is live are idle; they are released
 * when there are too many of them, or when they have been idle for long. */
#ifndef PATALLOC_ARENA_H
#define PATALLOC_ARENA_H

#include "lock.h"
#include "option.h"
#include "run.h"

enum {
  SHARED_MOST = 256,                /* granules: larger blocks have runs of their own */
  BINS_MOST = SHARED_MOST + 4 * 24, /* above, four bins a doubling */
};

struct stats;

struct arena {
  struct lock lock; /* guards all below, and blocks in the state FREE */
  struct refpage *refpage;
  const struct options *options;
  struct stats *stats;
  uint32_t bins[BINS_MOST];        /* freed blocks, the last one first */
  uint32_t fresh[SHARED_MOST + 1]; /* runs with slots that never held a block, by slot size */
  uint32_t idle_first, idle_last;  /* idle runs, the longest idle first */
  size_t idle_bytes;
};

void arena_init(struct arena *arena, struct refpage *refpage, const struct options *options,
                struct stats *stats);

/* A block for `size` bytes, all of it in the refpage's pattern, guards in place: its granule, in
 * the state BUSY. 0 with errno where there is none to be had. Thread-safe. */
uint32_t arena_take(struct arena *arena, size_t size, size_t alignment);

/* A larger block with the content of this one, by moving its pages or by copying (*moved says
 * which), at the same place in a page, with room to grow further. The old block stays BUSY, its
 * pages to be reset. 0 where that can't be done: the old block is as it was. */
uint32_t arena_move(struct arena *arena, uint32_t granule, size_t size, bool *moved);

/* Gives a block back that is BUSY and reset. */
void arena_give(struct arena *arena, uint32_t granule);

/* Makes a live block larger without moving it. False where there is no room. */
bool arena_grow(struct arena *arena, uint32_t granule, size_t size);

/* Makes the pages inaccessible that a block smaller by now does not need. */
void arena_shrink(struct arena *arena, uint32_t granule, size_t size);

/* Releases what is idle; returns the bytes of address space released. */
size_t arena_release(struct arena *arena);

/* The pages of a block. */
static inline uintptr_t block_pages(uint32_t granule) {
  return page_down(block_address(granule));
}
static inline uintptr_t block_end(uint32_t granule) {
  return page_up(block_address(granule) + region.table[granule].size);
}

#endif
