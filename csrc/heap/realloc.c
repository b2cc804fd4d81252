/* Resizing large blocks (see realloc.h). */
#include "heap/realloc.h"

#include "blocks/resize.h"
#include "blocks/tag.h"
#include "heap/altered.h"
#include "heap/fork.h"
#include "heap/large.h"
#include "heap/primary.h"
#include "pages/fill.h"
#include "watch/history.h"
#include "watch/origin.h"
#include "watch/resume.h"
#include "watch/slack.h"

#include <errno.h>
#include <string.h>

static void *grow_to(struct patalloc_heap *heap, size_t size) {
  return heap->large->allocate(heap, &(struct request){.size = size, .content = HOLDS_GROWTH});
}

static void count_resized(struct patalloc_heap *heap, size_t before, size_t after) {
  usage_subtract(&heap->usage, 0, before);
  usage_add(&heap->usage, 0, after);
}

static void *resized_in_place(struct patalloc_heap *heap, uint32_t granule, size_t before) {
  tag_resized(granule, before);
  history_allocated(&heap->watch, granule);
  count_resized(heap, before, region.table[granule].size);
  retain_count_all(granule);
  stats_add(heap_stats(heap), STAT_REALLOCS_IN_PLACE, 1);
  return block_hand_out(granule);
}

/* Zero pages that a block has grown by get the pattern by stores; refpages hold it already. From
 * then on its last page holds the pattern to its end, as a block's does that was filled. */
static void fill_growth(struct patalloc_heap *heap, uint32_t granule, uintptr_t from) {
  uintptr_t end = block_end(granule);
  uint8_t *fill = &region.table[granule].fill;
  const struct arena *arena = block_arena(granule);
  bool holds = content_comes_patterned(&heap->contents, arena, block_run(granule)->refpage);
  if (!holds && from < end && !large_store(heap, arena->pattern, from, end))
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
    fill_pattern(block_arena(granule)->pattern, (void *)(address + size),
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
  heap_make_room(heap, size - before);
  if (!resize_grow(block_arena(granule), granule, size)) return NULL;
  fill_growth(heap, granule, record->fill == BLOCK_ZERO ? block_address(granule) + before : end);
  return resized_in_place(heap, granule, before);
}

/* A growing block stays in the refpage, where it takes memory as it is written, and no more; or
 * goes back there from memory that was filled beforehand, unless it is too large to be copied. (Not
 * from that of calloc, before whose blocks there are zeros.) */
static struct arena *arena_for_growth(struct patalloc_heap *heap, uint32_t granule) {
  enum { COPY_MOST = 8 << 20 };
  struct arena *arena = block_arena(granule), *patterned;
  bool stored = heap->contents.now->learns && arena->refpage == &refpage_zero;
  bool moves = stored && region.table[granule].size <= COPY_MOST;
  patterned = moves ? content_patterned(&heap->contents) : NULL;
  return patterned && arena->content.word == patterned->content.word ? patterned : arena;
}

static enum block_fill fill_of(const struct patalloc_heap *heap, const struct arena *arena) {
  return content_comes_patterned(&heap->contents, arena, arena->refpage) ? BLOCK_REFPAGE
                                                                         : BLOCK_MEMSET;
}

/* To a run with room to grow further, by moving pages where that is possible. */
static void *move(struct patalloc_heap *heap, uint32_t granule, size_t size, struct arena *arena) {
  const struct granule *record = &region.table[granule];
  struct run *run = block_run(granule);
  uintptr_t address = block_address(granule), start = block_pages(granule),
            end = block_end(granule);
  size_t before = record->size;
  bool moved;
  heap_make_room(heap, size - before);
  uint32_t target = resize_move(arena, granule, size, &moved);
  if (!target) return NULL;
  stats_add(heap_stats(heap), moved ? STAT_REALLOCS_MOVED : STAT_REALLOCS_COPIED, 1);
  region.table[target].fill = arena == run->arena ? record->fill : (uint8_t)fill_of(heap, arena);
  fill_growth(heap, target,
              block_address(target) + (record->fill == BLOCK_ZERO ? before : end - address));
  tag_resized(target, large_comes_tagged(target) ? before : 0); /* none is copied */
  count_resized(heap, before, size);
  arena_hold(granule, 0);
  retain_count_all(target);
  history_allocated(&heap->watch, target);
  history_freed(&heap->watch, granule);
  resume_shut(start, end);
  bool altered = altered_is(granule), sound = !altered || altered_restore(granule);
  if (altered && moved) region.table[target].kept = GRANULE_ALTERED;
  void *pointer = block_hand_out(target);
  if (!sound && run_is_solo(run)) return arena_retire(run->arena, granule, 0), pointer;
  if (large_quarantine(heap, granule)) return pointer;
  if (large_comes_tagged(granule)) return large_give_retagged(granule), pointer;
  run_reset(run, start, end - start, &heap->options);
  arena_give(run->arena, granule, 0);
  return pointer;
}

void *realloc_resize(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  size_t have = block_end(granule) - block_address(granule);
  if (!heap_is_large(heap, size)) return NULL; /* one at a large alignment may grow, and be small */
  if (heap_guards(heap, region.table[granule].size)) return NULL; /* it would leave its guard */
  if (size <= have) return resize_within(heap, granule, size);
  if (size > region_size()) return NULL;
  struct arena *arena = arena_for_growth(heap, granule);
  void *grown = arena == block_arena(granule) ? grow_in_place(heap, granule, size) : NULL;
  return grown ? grown : move(heap, granule, size, arena);
}

/* To anywhere, by copying. Where there is nowhere, a block that is to shrink stays where it is. */
static void *copy(struct patalloc_heap *heap, uint32_t granule, const void *pointer, size_t size) {
  size_t have = block_end(granule) - block_address(granule);
  size_t usable = heap_usable_size(heap, granule);
  bool large = heap_is_large(heap, size);
  void *target = large ? grow_to(heap, size) : heap->small->malloc(heap, size);
  if (target) {
    memcpy(target, pointer, usable < size ? usable : size);
    stats_add(heap_stats(heap), STAT_REALLOCS_COPIED, 1);
    large_give_up(heap, granule);
    return target;
  }
  if (size <= have) return resize_within(heap, granule, size);
  block_hand_out(granule);
  return errno = ENOMEM, NULL;
}

void *realloc_small(struct patalloc_heap *heap, void *pointer, size_t size) {
  const struct small_path *small = heap->small;
  size_t have = small->usable_size(heap, "realloc", pointer);
  if (have == USABLE_NONE) return errno = EINVAL, NULL;
  if (!heap_is_large(heap, size) || !primary.sized)
    return small->realloc(heap, pointer, have, size);
  void *moved = grow_to(heap, size);
  if (!moved) return NULL;
  memcpy(moved, pointer, have < size ? have : size);
  small->free(heap, pointer);
  return moved;
}

void *realloc_large(struct patalloc_heap *heap, void *pointer, size_t size) {
  fork_expect();
  uint32_t granule = large_claim(heap, "realloc", pointer);
  if (!granule && block_is_foreign(pointer)) return realloc_small(heap, pointer, size);
  if (!granule) return errno = EINVAL, NULL;
  origin_expect_large(&heap->watch, "realloc", pointer, granule);
  if (!altered_is(granule)) slack_check(&heap->watch, "realloc", granule);
  if (!size) return large_give_up(heap, granule), NULL;
  void *resized = heap->blocks->resize(heap, granule, size);
  return resized ? resized : copy(heap, granule, pointer, size);
}
