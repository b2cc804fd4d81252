/* Heaps: what is asked of all of their arenas, and of blocks (see heap.h). */
#include "heap/heap.h"

#include "blocks/reset.h"
#include "blocks/slot.h"
#include "blocks/tag.h"
#include "heap/held.h"
#include "os/features.h"
#include "os/pagemap.h"
#include "os/process.h"
#include "watch/slack.h"

/* Letting go */

void heap_make_room(struct patalloc_heap *heap, size_t size) {
  if (usage_allows(&heap->usage, size, 0)) return;
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

long heap_dirty_pages(const struct patalloc_heap *heap, uint32_t granule) {
  const struct options *options = &heap->options;
  uintptr_t start = block_pages(granule);
  size_t count = 0;
  if (!os_uses(options, OS_PROC)) return -1;
  bool scan = os_uses(options, OS_PAGEMAP_SCAN) && refpage_scans(block_run(granule)->refpage);
  bool told = os_dirty_ranges(start, block_end(granule) - start, scan, count_range, &count);
  return told ? (long)count : -1;
}
