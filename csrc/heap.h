/* A heap: its options, its arenas and its stats. patalloc.h is what the world sees of it. */
#ifndef PATALLOC_HEAP_H
#define PATALLOC_HEAP_H

#include "arena.h"
#include "option.h"
#include "quarantine.h"
#include "retain.h"
#include "stats.h"

#if __has_include(<sys/single_threaded.h>) /* glibc 2.32 */
#include <sys/single_threaded.h>
#define SINGLE_THREADED __libc_single_threaded
#else
#define SINGLE_THREADED false
#endif

enum block_fill { BLOCK_REFPAGE, BLOCK_MEMSET, BLOCK_ZERO, BLOCK_NONE, BLOCK_UNPATTERNED };

enum { SHARDS = 8 };

enum arena_kind {
  PATTERNED, /* blocks from the refpage, if there is one */
  STORED,    /* anonymous memory that is filled with stores */
  ZEROED,    /* anonymous memory for calloc */
  ARENAS,
};

/* What a few threads share: a thread takes blocks from its own shard, and gives them back to the
 * one that they came from. */
struct shard {
  struct stats stats;
  struct arena arenas[ARENAS];
  struct density patterned_densities[BINS_MOST], zeroed_densities[BINS_MOST];
} __attribute__((aligned(64)));

struct patalloc_heap {
  struct options options;
  _Atomic bool careful;       /* whether careful.c serves small requests */
  bool reports;               /* whether faults and misuse are reported in full */
  bool hunts;                 /* whether allocations are counted, or chosen */
  bool tagged;                /* whether blocks have tags */
  struct refpage *refpage;    /* NULL: blocks are filled with stores */
  struct refpage *zeros;      /* of calloc */
  struct refpage *other;      /* of blocks that are chosen; NULL: they are filled with stores */
  size_t huge_page;           /* bytes; 0: none are used */
  struct lock lock;           /* held while the heap is prepared */
  _Atomic bool ready;         /* whether large blocks can be made */
  _Atomic bool hopeless;      /* whether that was tried in vain */
  _Atomic bool warned;        /* of blocks that stayed without their pattern */
  struct patalloc_heap *next; /* of all heaps, for fork */
  bool listed;                /* among them */
  struct shard *shards;       /* once it is ready */
  struct stats stats;         /* what was counted before that */
  struct quarantine quarantine;
  struct usage usage __attribute__((aligned(64)));
};

/* Has fork(2) take all locks first, and a child count anew. Not before there are threads, or a need
 * to count: the C library's part of it lies in pages that a process may never read otherwise. Of
 * threads that the preloaded library did not see made, heap_expect_fork learns when they allocate.
 */
void heap_handle_fork(void);
extern _Atomic bool heap_handles_fork;
static inline void heap_expect_fork(void) {
  if (!atomic_load_explicit(&heap_handles_fork, memory_order_relaxed) && !SINGLE_THREADED)
    heap_handle_fork();
}

/* The arena of the calling thread's shard. The heap must be ready. */
struct arena *heap_arena(struct patalloc_heap *heap, enum arena_kind kind);

/* The calling thread's stats. */
struct stats *heap_stats(struct patalloc_heap *heap);

/* Whether large blocks can be made. A heap is zeroed memory with its options set: what large blocks
 * need is prepared with the first of them, by this, so that most processes pay nothing. */
bool heap_prepare(struct patalloc_heap *heap);

static inline enum granule_state block_state(uint32_t granule) {
  return atomic_load_explicit(&region.table[granule].state, memory_order_acquire);
}

/* The block, live or freed, in whose pages or at whose address `pointer` lies, or that ends before
 * it in the same slot; 0 for none. */
uint32_t heap_find(uintptr_t pointer);

/* Whether the block is this heap's. */
bool heap_owns(const struct patalloc_heap *heap, uint32_t granule);

/* The bytes of a live block that the program may use: those it asked for, where others are checked.
 */
size_t heap_usable_size(const struct patalloc_heap *heap, uint32_t granule);

/* Sets what follows from the options, which have been set or changed. */
void heap_heed_options(struct patalloc_heap *heap);

/* How many of these pages the program has written; -1 where that can't be told. */
long heap_dirty_pages(const struct patalloc_heap *heap, uintptr_t start, size_t bytes);

/* Lets go of kept pages as far as `size` more bytes would take the heap beyond its own peak. */
void heap_make_room(struct patalloc_heap *heap, size_t size);

/* Lets go of what has been idle for long; to be called now and then. */
void heap_tick(struct patalloc_heap *heap);

/* Writes the stats to where the option says; at exit. */
void heap_write_stats(struct patalloc_heap *heap);

#endif
