/* Resizing large blocks (see realloc.h). */
#include "heap/realloc.h"

#include "blocks/resize.h"
#include "blocks/tag.h"
#include "heap/fork.h"
#include "heap/large.h"
#include "pages/fill.h"
#include "patalloc.h"
#include "watch/history.h"
#include "watch/slack.h"

#include <errno.h>
#include <string.h>

static void count_resized(struct patalloc_heap *heap, size_t before, size_t after) {
  usage_subtract(&heap->usage, 0, before);
  usage_add(&heap->usage, 0, after);
}

static void *resized_in_place(struct patalloc_heap *heap, uint32_t granule, size_t before) {
  tag_resized(granule, before);
  history_allocated(&heap->watch, granule);
  count_resized(heap, before, region.table[granule].size);
  stats_add(heap_stats(heap), STAT_REALLOCS_IN_PLACE, 1);
  return block_hand_out(granule);
}

static bool holds_pattern(const struct patalloc_heap *heap, const struct refpage *refpage) {
  return refpage == heap->refpage || (refpage_comes_tagged(refpage) && heap->refpage &&
                                      refpage->pattern.word == heap->refpage->pattern.word);
}

/* Zero pages that a block has grown by get the pattern by stores; refpages hold it already. From
 * then on its last page holds the pattern to its end, as a block's does that was filled. */
static void fill_growth(struct patalloc_heap *heap, uint32_t granule, uintptr_t from) {
  uintptr_t end = block_end(granule);
  uint8_t *fill = &region.table[granule].fill;
  bool needs_stores = from < end && !holds_pattern(heap, block_run(granule)->refpage);
  if (needs_stores && !large_store(heap, from, end))
    *fill = BLOCK_UNPATTERNED;
  else if (*fill == BLOCK_ZERO)
    *fill = BLOCK_MEMSET;
}

/* Within the pages that the block has. What it gives up is patterned again. */
static void *resize_within(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  struct granule *record = &region.table[granule];
  size_t before = record->size;
  uintptr_t address = block_address(granule);
  if (size < before) {
    resize_shrink(block_arena(granule), granule, size);
    fill_pattern(heap->options.pattern, (void *)(address + size),
                 block_end(granule) - address - size);
    if (record->fill == BLOCK_ZERO) record->fill = BLOCK_MEMSET;
  } else {
    record->size = size;
    if (record->fill == BLOCK_ZERO) fill_growth(heap, granule, address + before);
  }
  return resized_in_place(heap, granule, before);
}

static void *grow_in_place(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  const struct granule *record = &region.table[granule];
  size_t before = record->size;
  uintptr_t end = block_end(granule);
  if (!resize_grow(block_arena(granule), granule, size)) return NULL;
  fill_growth(heap, granule, record->fill == BLOCK_ZERO ? block_address(granule) + before : end);
  return resized_in_place(heap, granule, before);
}

/* A growing block that is written up to its end goes on in memory that is filled beforehand; one
 * that is large by then stays where it is, as it would have to be copied. */
static struct arena *arena_for_growth(struct patalloc_heap *heap, uint32_t granule) {
  enum { COPY_MOST = 8 << 20 };
  struct arena *arena = block_arena(granule);
  bool moves =
      heap->learns && arena->refpage == heap->refpage && region.table[granule].size <= COPY_MOST;
  return moves && retain_reaches_end(arena, granule) ? heap_arena(heap, STORED) : arena;
}

/* To a run with room to grow further, by moving pages where that is possible. */
static void *move(struct patalloc_heap *heap, uint32_t granule, size_t size, struct arena *arena) {
  const struct granule *record = &region.table[granule];
  struct run *run = block_run(granule);
  uintptr_t address = block_address(granule), start = block_pages(granule),
            end = block_end(granule);
  size_t before = record->size;
  bool moved;
  uint32_t target = resize_move(arena, granule, size, &moved);
  if (!target) return NULL;
  stats_add(heap_stats(heap), moved ? STAT_REALLOCS_MOVED : STAT_REALLOCS_COPIED, 1);
  region.table[target].fill = arena == run->arena ? record->fill : BLOCK_MEMSET;
  fill_growth(heap, target,
              block_address(target) + (record->fill == BLOCK_ZERO ? before : end - address));
  tag_resized(target, large_comes_tagged(target) ? before : 0); /* none is copied */
  count_resized(heap, before, size);
  history_allocated(&heap->watch, target);
  history_freed(&heap->watch, granule);
  void *pointer = block_hand_out(target);
  if (large_quarantine(heap, granule)) return pointer;
  if (large_comes_tagged(granule)) return large_give_retagged(granule), pointer;
  run_reset(run, start, end - start, &heap->options);
  arena_give(run->arena, granule, 0);
  return pointer;
}

void *realloc_resize(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  size_t have = block_end(granule) - block_address(granule);
  if (size <= have) return heap_is_large(heap, size) ? resize_within(heap, granule, size) : NULL;
  if (size > region_size()) return NULL;
  struct arena *arena = arena_for_growth(heap, granule);
  void *grown = arena == block_arena(granule) ? grow_in_place(heap, granule, size) : NULL;
  return grown ? grown : move(heap, granule, size, arena);
}

/* To anywhere, by copying. Where there is nowhere, a block that is to shrink stays where it is. */
static void *copy(struct patalloc_heap *heap, uint32_t granule, const void *pointer, size_t size) {
  size_t have = block_end(granule) - block_address(granule), before = region.table[granule].size;
  void *target = patalloc_malloc(heap, size);
  if (target) {
    memcpy(target, pointer, before < size ? before : size);
    stats_add(heap_stats(heap), STAT_REALLOCS_COPIED, 1);
    large_give_up(heap, granule);
    return target;
  }
  if (size <= have) return resize_within(heap, granule, size);
  block_hand_out(granule);
  return errno = ENOMEM, NULL;
}

void *realloc_large(struct patalloc_heap *heap, void *pointer, size_t size) {
  fork_expect();
  uint32_t granule = large_claim(heap, "realloc", pointer);
  if (!granule) return errno = EINVAL, NULL;
  slack_check(&heap->watch, "realloc", granule);
  if (!size) return large_give_up(heap, granule), NULL;
  void *resized = heap->blocks->resize(heap, granule, size);
  return resized ? resized : copy(heap, granule, pointer, size);
}
