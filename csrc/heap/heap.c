/* Heaps: their arenas, and what is asked of all of them (see heap.h). */
#include "heap/heap.h"

#include "blocks/reset.h"
#include "blocks/slot.h"
#include "blocks/tag.h"
#include "heap/held.h"
#include "os/features.h"
#include "os/pagemap.h"
#include "os/process.h"
#include "watch/slack.h"

/* Shards */

static struct shard *shard_of_thread(struct patalloc_heap *heap) {
  static _Atomic unsigned threads;
  static _Thread_local unsigned mine __attribute__((tls_model("initial-exec"))); /* from 1 */
  if (!mine) mine = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % SHARDS;
  return &heap->shards[mine - 1];
}

struct stats *heap_stats(struct patalloc_heap *heap) {
  return heap->ready ? &shard_of_thread(heap)->stats : &heap->stats;
}

static void prepare_arena(struct patalloc_heap *heap, struct shard *shard, enum arena_kind kind) {
  struct arena *arena = &shard->arenas[kind];
  struct pattern zero = refpage_zero.pattern, pattern = heap->options.pattern;
  struct refpage *stored = heap->tagged ? &refpage_zero_tagged : &refpage_zero;
  arena->refpage = kind == PATTERNED ? heap->refpage : kind == ZEROED ? heap->zeros : stored;
  /* With pattern=none kept pages must be rewritten all the same: with zeros. */
  arena->content = kind == ZEROED || !pattern.size ? zero : pattern;
  arena->huge_page = kind == STORED ? heap->huge_page : 0;
  arena->options = &heap->options;
  arena->stats = &shard->stats;
  arena->usage = &heap->usage;
  arena->densities = kind == ZEROED ? shard->zeroed_densities : shard->patterned_densities;
  arena->ready = true;
}

/* Not before it is used: an arena has some pages of tables. */
struct arena *heap_arena(struct patalloc_heap *heap, enum arena_kind kind) {
  struct shard *shard = shard_of_thread(heap);
  struct arena *arena = &shard->arenas[kind];
  if (arena->ready) return arena;
  lock_take(&heap->lock);
  if (!arena->ready) prepare_arena(heap, shard, kind);
  lock_drop(&heap->lock);
  return arena;
}

struct arena *heap_next_arena(const struct patalloc_heap *heap, const struct arena *arena) {
  for (int i = 0; heap->shards && i < SHARDS * ARENAS; i++) {
    struct arena *next = &heap->shards[i / ARENAS].arenas[i % ARENAS];
    if (next > arena && next->ready) return next;
  }
  return NULL;
}

/* Refpages */

bool heap_wants_refpage(const struct patalloc_heap *heap) {
  const struct options *options = &heap->options;
  bool patterned = options->fill != FILL_MEMSET || !options->pattern.size;
  return patterned && options->backend.kind != BACKEND_NONE && !heap->orphaned;
}

bool heap_choose_refpage(struct patalloc_heap *heap) {
  const struct options *options = &heap->options;
  heap->refpage_asked = os_milliseconds();
  struct refpage *found = heap->tagged ? refpage_get_tagged(options, options->pattern)
                                       : refpage_get(options, options->pattern);
  heap->learns = options->fill == FILL_AUTO && found && found != &refpage_zero && !heap->tagged;
  heap->refpage = found;
  return found;
}

struct refpage *heap_refpage(struct patalloc_heap *heap) {
  enum { WHILE = 1000 }; /* milliseconds */
  if (heap->refpage || !heap_wants_refpage(heap)) return heap->refpage;
  if (os_milliseconds() - heap->refpage_asked < WHILE) return NULL;
  lock_take(&heap->lock);
  if (!heap->refpage) heap_choose_refpage(heap);
  lock_drop(&heap->lock);
  return heap->refpage;
}

/* Letting go */

void heap_make_room(struct patalloc_heap *heap, size_t size) {
  EACH_ARENA(heap, arena)
  while (!usage_allows(&heap->usage, size, 0) && arena_drop_oldest(arena)) {
  }
}

size_t heap_release(struct patalloc_heap *heap) {
  size_t bytes = slot_release();
  held_drain(&heap->watch);
  EACH_ARENA(heap, arena) {
    reset_settle(arena);
    arena_drop_kept(arena, 0);
    bytes += arena_release(arena, true);
  }
  return bytes;
}

void heap_tick(struct patalloc_heap *heap) {
  int64_t interval = heap->options.release_interval;
  slot_tick(&heap->options);
  if (!heap->ready) return;
  EACH_ARENA(heap, arena) {
    reset_settle(arena);
    if (interval < 0) continue;
    arena_drop_kept(arena, (uint32_t)interval);
    arena_release(arena, false);
  }
}

/* Blocks */

size_t heap_usable_size(const struct patalloc_heap *heap, uint32_t granule) {
  const struct granule *block = &region.table[granule];
  /* What is behind zeros gets the pattern when they grow, so that it is not to be used before. */
  bool exact = block->fill == BLOCK_ZERO || slack_checks(&heap->options, SLACK_LARGE);
  return exact ? block->size : tag_usable_size(granule);
}

static void count_range(void *count, uintptr_t from, uintptr_t to) {
  *(size_t *)count += (to - from) >> os_page_shift;
}

long heap_dirty_pages(const struct patalloc_heap *heap, uintptr_t start, size_t bytes) {
  const struct options *options = &heap->options;
  size_t count = 0;
  if (!os_uses(options, OS_PROC)) return -1;
  bool scan = os_uses(options, OS_PAGEMAP_SCAN) && (!heap->refpage || refpage_scans(heap->refpage));
  return os_dirty_ranges(start, bytes, scan, count_range, &count) ? (long)count : -1;
}
