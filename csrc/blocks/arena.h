/* Arenas: the blocks of one heap that come from one refpage, and the cache of those that were
 * freed. A freed block keeps its place, its mapping and its guards, so that the next request of its
 * size takes it without a system call. Runs in which no block is live are idle; they are released
 * when there are too many of them, or when they have been idle for long. */
#ifndef PATALLOC_ARENA_H
#define PATALLOC_ARENA_H

#include "base/lock.h"
#include "base/option.h"
#include "base/stats.h"
#include "blocks/block.h"

enum {
  SHARED_MOST = 256,                /* granules: larger blocks have runs of their own */
  BINS_MOST = SHARED_MOST + 4 * 24, /* above, four bins a doubling */
  KEPT_MOST = 128,                  /* freed blocks with pages kept */
};

struct density; /* retain.h */

/* A freed block of which the first `pages` are kept, holding the arena's content. */
struct kept {
  uint32_t granule, pages;
  uint32_t since; /* milliseconds */
  uint32_t next;  /* of the unused ones */
  bool reused;    /* whether blocks of its size are taken again */
};

/* Starts as zeroed memory, of which the heap sets what comes before the tables. */
struct arena {
  struct lock lock; /* guards the lists and tables below, and blocks in the state FREE */
  struct refpage *refpage;
  struct pattern pattern; /* that its heap had when it was made */
  struct pattern content; /* of kept pages: the same, or zeros */
  size_t huge_page;       /* bytes; 0: large runs are not laid out for huge pages */
  const struct options *options;
  struct stats *stats;
  struct usage *usage;
  struct density *densities; /* by bin */
  _Atomic bool ready;        /* all above is set, when a thread first takes a block from it */
  _Atomic uint32_t waiting;  /* freed blocks whose pages are yet to be reset: a list through next */
  _Atomic uint32_t waiters;  /* how many, nearly */
  _Atomic uint32_t patience; /* how many there are to be before that is done: see reset.c */
  _Atomic uint32_t frees_in_a_row;
  size_t idle_bytes;
  size_t freed;                   /* granules, of freed blocks */
  uint32_t idle_first, idle_last; /* idle runs, the longest idle first */
  uint32_t kept_unused;
  _Atomic uint32_t kept_made;
  uint32_t bins[BINS_MOST]; /* freed blocks, the last one first */
  struct kept kept[KEPT_MOST + 1];
  uint32_t fresh[SHARED_MOST + 1]; /* runs with slots that never held a block, by slot size */
};

/* The bin of blocks of this size: what is learnt of them is kept by it. */
unsigned arena_bin(const struct arena *arena, size_t size);

/* Which freed block will do: one of as many pages, if there is one, or one that is near. */
enum taking {
  TAKE_ANY,
  TAKE_KEPT, /* one with pages kept */
  TAKE_SAME, /* none but of as many pages, as long as few blocks wait for others of their size */
};

/* A freed block for `size` bytes, guards in place: its granule, in the state BUSY; 0 where there is
 * none. *kept is the number of its first pages that hold the arena's content and were kept; the
 * others are as the refpage makes them. No system call where the block has as many pages as the one
 * that was freed. Thread-safe, as all of these. */
uint32_t arena_take_freed(struct arena *arena, size_t size, size_t alignment, enum taking taking,
                          uint32_t *kept);

/* Counts what a BUSY block holds of memory, in pages; from then on, until it is given back. Then
 * what is kept of it is counted. */
void arena_hold(uint32_t granule, uint32_t pages);

/* A place in the table of kept blocks, for one with so many pages; 0 where it is full. */
uint16_t arena_keep(struct arena *arena, uint32_t pages, bool reused);

/* Gives a block back that is BUSY. Of its pages the first hold the arena's content, if `kept` is
 * its place in the table; the others, or with 0 all, are reset. */
void arena_give(struct arena *arena, uint32_t granule, uint16_t kept);

/* The same for a block that is not to be handed out again: its run is released. */
void arena_retire(struct arena *arena, uint32_t granule, uint16_t kept);

/* Drops pages that have been kept for at least so many milliseconds, and those of sizes of which no
 * block was ever taken again; returns how many bytes. */
RARE size_t arena_drop_kept(struct arena *arena, uint32_t milliseconds);

/* Drops those of the block that was kept first; false for none. */
RARE bool arena_drop_oldest(struct arena *arena);

/* Releases runs that are idle, all or those that are due; returns the bytes of address space. */
size_t arena_release(struct arena *arena, bool all);

/* For place.c and resize.c */

static inline size_t arena_guard_bytes(const struct arena *arena) {
  return arena->options->guard_pages << os_page_shift;
}

/* Granules of a slot or a solo run for so many bytes of pages: a guard on either side. */
uint32_t arena_granules_for(const struct arena *arena, size_t bytes);

/* Makes [from, to) of the run inaccessible, and counts it where that can't be done. */
void arena_install_guard(struct arena *arena, struct run *run, uintptr_t from, uintptr_t to);

/* The highest address at which a block of this size and alignment ends before `end`. */
uintptr_t arena_address_before(uintptr_t end, size_t size, size_t alignment);

/* With the arena's lock held: puts a block on its list of freed ones; counts one of a run out. */
void arena_push(struct arena *arena, uint32_t granule);
void arena_count_taken(struct arena *arena, uint32_t run);

/* Releases a run that is in no list of the arena's. */
void arena_release_run(struct arena *arena, uint32_t run);

#endif
