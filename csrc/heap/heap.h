/* A heap: its options, its arenas and its stats, and the paths that requests take through it.
 * patalloc.h is what the world sees of it. */
#ifndef PATALLOC_HEAP_H
#define PATALLOC_HEAP_H

#include "base/lock.h"
#include "base/option.h"
#include "base/stats.h"
#include "blocks/arena.h"
#include "blocks/quarantine.h"
#include "blocks/retain.h"
#include "os/files.h"
#include "watch/watch.h"

struct patalloc_heap;

/* How small requests are served. paths.c chooses by the options; what they have in common is in
 * family.c, and reads straight through. */
struct small_path {
  void *(*malloc)(struct patalloc_heap *heap, size_t size);
  void *(*calloc)(struct patalloc_heap *heap, size_t size);
  void *(*aligned)(struct patalloc_heap *heap, size_t alignment, size_t size);
  void (*free)(struct patalloc_heap *heap, void *pointer);
  /* Of a block of which `have` bytes may be used. */
  void *(*realloc)(struct patalloc_heap *heap, void *pointer, size_t have, size_t size);
  /* `call` is who asks, for what is found overwritten, or freed already: that is reported. */
  size_t (*usable_size)(struct patalloc_heap *heap, const char *call, void *pointer);
};
/* What usable_size answers for what was freed already. */
static const size_t USABLE_NONE = SIZE_MAX;

/* A large one: bytes, a multiple of which the address is to be (0: as malloc(3) has it), and what
 * the block is to hold. */
struct request {
  size_t size, alignment;
  enum {
    HOLDS_PATTERN,
    HOLDS_ZEROS,
    HOLDS_GROWTH, /* what is copied to its front, and the pattern: realloc may ask for more */
  } content;
};

/* How they are served. */
struct large_path {
  void *(*allocate)(struct patalloc_heap *heap, const struct request *request);
  void (*free)(struct patalloc_heap *heap, void *pointer);
  void *(*realloc)(struct patalloc_heap *heap, void *pointer, size_t size);
};

/* How the blocks of large ones come and go. */
struct block_path {
  /* A BUSY block, and how it got its content; 0 for none. */
  uint32_t (*take)(struct patalloc_heap *heap, const struct request *request,
                   enum block_fill *fill);
  /* Takes a BUSY block back. */
  void (*give)(struct patalloc_heap *heap, uint32_t granule);
  /* Resizes a BUSY block without the program's copying; returns it as realloc(3) does. NULL where
   * that can't be done: the block is as it was. */
  void *(*resize)(struct patalloc_heap *heap, uint32_t granule, size_t size);
};

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

/* Zeroed memory, its options, and then paths_start (paths.h). What large blocks need is prepared
 * with the first of them, so that most processes pay nothing. */
struct patalloc_heap {
  struct options options;
  const struct small_path *_Atomic small;
  const struct large_path *_Atomic large;
  const struct small_path *_Atomic uncounted; /* what `small` is without count=yes */
  const struct small_path *_Atomic unguarded; /* and without guard_small */
  const struct selection *sites;              /* of guard_sites; NULL: none */
  _Atomic bool unslotted, goes_without;       /* whether no small block can be guarded; was not */
  const struct block_path *blocks;
  struct watch watch;
  bool tagged;         /* whether blocks have tags */
  _Atomic bool learns; /* whether blocks of sizes that are written throughout are filled */
  struct refpage *_Atomic refpage; /* NULL: blocks are filled with stores */
  _Atomic uint32_t refpage_asked;  /* milliseconds: when it was last tried for */
  bool orphaned;                   /* whether it is the parent's, and not to be had any more */
  struct refpage *zeros;           /* of calloc */
  size_t huge_page;                /* bytes; 0: none are used */
  struct lock lock;                /* held while the heap is prepared or configured */
  _Atomic bool ready;              /* whether large blocks can be made */
  _Atomic bool warned;             /* of blocks that stayed without their pattern */
  struct patalloc_heap *next;      /* of all heaps, for fork */
  bool listed;                     /* among them */
  struct shard *shards;            /* once it is ready */
  struct stats stats;              /* what was counted before that, and errors */
  struct quarantine quarantine;
  struct os_identity stats_file; /* of stats=fd:N */
  struct usage usage __attribute__((aligned(64)));
};

static inline bool heap_is_large(const struct patalloc_heap *heap, size_t size) {
  return size >= heap->options.threshold;
}

/* Whether a block of that size, in an arena, is there to be guarded (guarded.h). */
static inline bool heap_guards(const struct patalloc_heap *heap, size_t size) {
  return options_guard_small(&heap->options) && !heap_is_large(heap, size);
}

static inline size_t shards_size(void) {
  return page_up(SHARDS * sizeof(struct shard));
}

/* The arena of the calling thread's shard. The heap must be ready. */
struct arena *heap_arena(struct patalloc_heap *heap, enum arena_kind kind);

/* Whether blocks are to come from a refpage; and whether they do, having tried to get one. With the
 * heap's lock held. */
bool heap_wants_refpage(const struct patalloc_heap *heap);
bool heap_choose_refpage(struct patalloc_heap *heap);

/* The heap's refpage; NULL where there is none. What could not be had is tried for again after a
 * while, as it may have been for want of a descriptor, or of memory. */
struct refpage *heap_refpage(struct patalloc_heap *heap);

/* Of the arenas that are ready the one after `arena`, or the first; NULL for none. */
struct arena *heap_next_arena(const struct patalloc_heap *heap, const struct arena *arena);
#define EACH_ARENA(heap, arena)                                                                    \
  for (struct arena *arena = heap_next_arena(heap, NULL); arena;                                   \
       arena = heap_next_arena(heap, arena))

/* The calling thread's stats. */
struct stats *heap_stats(struct patalloc_heap *heap);

/* Whether the block is this heap's. */
static inline bool heap_owns(const struct patalloc_heap *heap, uint32_t granule) {
  uintptr_t arena = (uintptr_t)block_arena(granule);
  return arena - (uintptr_t)heap->shards < SHARDS * sizeof(struct shard);
}

/* The bytes of a live block that the program may use: those it asked for, where others are checked.
 */
size_t heap_usable_size(const struct patalloc_heap *heap, uint32_t granule);

/* How many of these pages the program has written; -1 where that can't be told. */
RARE long heap_dirty_pages(const struct patalloc_heap *heap, uintptr_t start, size_t bytes);

/* Lets go of kept pages as far as `size` more bytes would take the heap beyond its own peak. */
void heap_make_room(struct patalloc_heap *heap, size_t size);

/* Lets go of all that is idle or kept; returns how many bytes of address space that is. */
RARE size_t heap_release(struct patalloc_heap *heap);

/* Lets go of what has been idle for long; to be called now and then. */
void heap_tick(struct patalloc_heap *heap);

#endif
