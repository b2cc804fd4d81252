/* A heap: its options, its arenas and its stats, and the paths that requests take through it.
 * patalloc.h is what the world sees of it. */
#ifndef PATALLOC_HEAP_H
#define PATALLOC_HEAP_H

#include "base/lock.h"
#include "base/option.h"
#include "base/stats.h"
#include "blocks/quarantine.h"
#include "heap/content.h"
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
  struct lock lock;           /* held while the heap is prepared or configured */
  _Atomic bool ready;         /* whether large blocks can be made */
  _Atomic bool warned;        /* of blocks that stayed without their pattern */
  struct patalloc_heap *next; /* of all heaps, for fork */
  bool listed;                /* among them */
  struct contents contents;   /* of blocks, once it is ready */
  struct stats stats;         /* what was counted before that, and errors */
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

/* The calling thread's stats. */
static inline struct stats *heap_stats(struct patalloc_heap *heap) {
  return heap->ready ? content_stats(&heap->contents) : &heap->stats;
}

#define EACH_ARENA(heap, arena)                                                                    \
  for (struct arena *arena = content_next_arena(&(heap)->contents, NULL); arena;                   \
       arena = content_next_arena(&(heap)->contents, arena))

/* Whether the block is this heap's. */
static inline bool heap_owns(const struct patalloc_heap *heap, uint32_t granule) {
  return content_has(&heap->contents, block_arena(granule));
}

/* The bytes of a live block that the program may use: those it asked for, where others are checked.
 */
size_t heap_usable_size(const struct patalloc_heap *heap, uint32_t granule);

/* How many of a block's pages the program has written; -1 where that can't be told. */
RARE long heap_dirty_pages(const struct patalloc_heap *heap, uint32_t granule);

/* Lets go of kept pages as far as `size` more bytes would take the heap beyond its own peak. */
void heap_make_room(struct patalloc_heap *heap, size_t size);

/* Lets go of all that is idle or kept; returns how many bytes of address space that is. */
RARE size_t heap_release(struct patalloc_heap *heap);

/* Lets go of what has been idle for long; to be called now and then. */
void heap_tick(struct patalloc_heap *heap);

#endif
