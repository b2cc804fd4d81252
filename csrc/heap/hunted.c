/* Large requests in a hunt (see hunted.h). */
#include "heap/hunted.h"

#include "blocks/place.h"
#include "heap/large.h"
#include "pages/fill.h"
#include "watch/hunt.h"

/* Whole pages from the pattern's refpage, and the ends with stores; or all of it so. */
static void fill_from_refpage(struct patalloc_heap *heap, uint32_t granule, struct pattern pattern,
                              uintptr_t from, uintptr_t end) {
  uintptr_t first = page_up(from), last = page_down(end);
  struct refpage *refpage =
      heap->contents.now->refpage ? refpage_get(&heap->options, pattern) : NULL;
  bool mapped = refpage && first < last && run_overlay(block_run(granule), first, last, refpage);
  if (mapped) {
    fill_pattern(pattern, (void *)from, first - from);
    fill_pattern(pattern, (void *)last, end - last);
  } else if (fill_fits(end - from)) {
    fill_pattern(pattern, (void *)from, end - from);
  } else {
    large_warn_unpatterned(heap);
  }
}

static void fill_part(struct patalloc_heap *heap, uint32_t granule, const struct chosen *chosen,
                      size_t index, size_t size) {
  uintptr_t start = block_address(granule), from = start, end = start + size;
  struct pattern pattern;
  if (!hunt_part(chosen, index, start, &from, &end)) return;
  if (hunt_pattern(chosen, index, size, &pattern))
    fill_from_refpage(heap, granule, pattern, from, end);
  else if (fill_fits(end - from))
    hunt_fill(chosen, index, start, from, end);
  else
    large_warn_unpatterned(heap);
}

static void choose_parts(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  struct chosen chosen = hunt_count(&heap->options, size);
  for (size_t i = 0; i < chosen.choice.count; i++) fill_part(heap, granule, &chosen, i, size);
  hunt_made(&chosen, (void *)block_address(granule), size);
}

uint32_t hunted_take(struct patalloc_heap *heap, const struct request *request,
                     enum block_fill *fill) {
  bool zero = request->content == HOLDS_ZEROS;
  struct arena *patterned = zero ? NULL : content_patterned(&heap->contents);
  struct arena *arena =
      patterned ? patterned : content_arena(&heap->contents, zero ? ZEROED : STORED);
  uint32_t granule = place_alone(arena, request->size, request->alignment);
  *fill = BLOCK_ZERO;
  if (granule && zero) hunt_count_zeros(&heap->options, request->size);
  if (!granule || zero) return granule;
  *fill = patterned ? BLOCK_REFPAGE : large_fill(heap, granule, 0);
  choose_parts(heap, granule, request->size);
  return granule;
}

void hunted_give(struct patalloc_heap *heap, uint32_t granule) {
  (void)heap;
  hunt_freed((const void *)block_address(granule));
  arena_retire(block_arena(granule), granule, 0);
}

void *hunted_resize(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  (void)heap, (void)granule, (void)size;
  return NULL;
}
