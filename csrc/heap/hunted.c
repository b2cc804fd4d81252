/* Large requests in a hunt (see hunted.h). */
#include "heap/hunted.h"

#include "blocks/place.h"
#include "heap/large.h"
#include "pages/fill.h"
#include "watch/hunt.h"

/* A block's pages from the other refpage, and the ends of the part with stores; or all of it so. */
static void fill_part(struct patalloc_heap *heap, uint32_t granule, uintptr_t from, uintptr_t end) {
  struct pattern pattern = hunt_pattern(&heap->options);
  uintptr_t first = page_up(from), last = page_down(end);
  bool mapped =
      heap->other && first < last && run_overlay(block_run(granule), first, last, heap->other);
  if (!mapped) {
    if (fill_fits(end - from))
      fill_pattern(pattern, (void *)from, end - from);
    else
      large_warn_unpatterned(heap);
    return;
  }
  fill_pattern(pattern, (void *)from, first - from);
  fill_pattern(pattern, (void *)last, end - last);
}

static void choose_parts(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  struct choice choice = hunt_count(&heap->options, size);
  for (size_t i = 0; i < choice.count; i++) {
    uintptr_t start = block_address(granule), from = start, end = start + size;
    if (hunt_part(&choice, i, start, &from, &end)) fill_part(heap, granule, from, end);
  }
}

uint32_t hunted_take(struct patalloc_heap *heap, const struct request *request,
                     enum block_fill *fill) {
  bool zero = request->content == HOLDS_ZEROS;
  struct arena *arena = heap_arena(heap, zero ? ZEROED : heap->refpage ? PATTERNED : STORED);
  uint32_t granule = place_alone(arena, request->size, request->alignment);
  *fill = BLOCK_ZERO;
  if (granule && zero) hunt_count_zeros(&heap->options, request->size);
  if (!granule || zero) return granule;
  *fill = heap->refpage ? BLOCK_REFPAGE : large_fill(heap, granule, 0);
  choose_parts(heap, granule, request->size);
  return granule;
}

void hunted_give(struct patalloc_heap *heap, uint32_t granule) {
  (void)heap;
  arena_retire(block_arena(granule), granule, 0);
}

void *hunted_resize(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  (void)heap, (void)granule, (void)size;
  return NULL;
}
