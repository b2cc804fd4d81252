/* Resetting a freed block's pages, one thread at a time.
 *
 * Where two threads reset pages at the same time, the kernel flushes the TLB of every processor
 * that either runs on, whether pages were mapped or not (mm_tlb_flush_nested in mm/mmu_gather.c):
 * ten times the cost of one alone. So threads take turns; and one that finds the others at it
 * gathers a few of its sparse blocks, and resets them by one call. */
#ifndef PATALLOC_RESET_H
#define PATALLOC_RESET_H

#include "blocks/arena.h"

/* How many pages a block may have that must be reset, or kept: as far as is known. */
enum reset_extent {
  RESET_FEW,  /* of either, and the block is not large: it may wait for others */
  RESET_SOME, /* few to reset */
  RESET_MANY, /* so many to reset that to wait for a turn does not pay */
};

/* Resets a BUSY block's pages behind those that its place in its arena's table keeps (0: all), and
 * gives it back; or leaves it BUSY, for a later call to do that. */
void reset_and_give(uint32_t granule, uint16_t kept, enum reset_extent extent);

/* Does what earlier calls have left to do. */
void reset_settle(struct arena *arena);

/* For the child of a fork, whose other threads are gone. */
void reset_restart(void);

#endif
