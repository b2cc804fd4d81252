/* Blocks that grow or shrink (see resize.h). */
#include "blocks/resize.h"

#include "blocks/place.h"
#include "blocks/tag.h"
#include "os/features.h"
#include "os/memory.h"
#include "pages/guard.h"

/* Whether a growing block has got so many spans that fewer, longer ones are worth a copy of it: not
 * where it is large by then. */
static bool has_short_spans(const struct run *run, size_t size) {
  enum { SPANS_MOST = 4096, COPY_MOST = 1 << 28 };
  unsigned stage = refpage_stage_alone(run->refpage, size);
  return refpage_has_spans(run->refpage) && stage > run->stage && stage < STAGES &&
         size <= COPY_MOST && size / refpage_span(run->stage) > SPANS_MOST;
}

/* A block with a run of its own, mapped in whole spans, and as much address space again to grow. */
static uint32_t take_roomy(struct arena *arena, struct refpage *refpage, size_t size, size_t offset,
                           size_t phase, unsigned stage) {
  size_t guard = arena_guard_bytes(arena), span = refpage_span(stage);
  size_t pages = page_up(offset + size), first = phase ? phase : span;
  struct solo solo = {.stage = stage, .phase = first, .offset = guard, .size = first};
  if (pages > first) solo.size += (pages - first + span - 1) / span * span;
  if (region_ask_limit()) solo.size = pages;
  solo.granules = arena_granules_for(arena, 2 * solo.size);
  uint32_t index = run_new_solo(arena, refpage, &solo);
  if (!index) return 0;
  struct run *run = run_at(index);
  if (run->end > run->start + pages) arena_install_guard(arena, run, run->start + pages, run->end);
  run->grown = true;
  return place_solo(arena, index, run->start + offset, size);
}

/* The tag that pages have moves with them; not to where it is a neighbour's. */
static bool may_have_tag(uint32_t target, uint32_t source) {
  unsigned tag = region.table[source].tag;
  if (block_run(source)->refpage->tagged && tag_clashes(target, tag)) return false;
  region.table[target].tag = (uint8_t)tag;
  return true;
}

/* Pages are moved span by span, so the new run's spans must begin where the old one's do; but where
 * those are too short for the new size, the content is copied into longer ones. */
uint32_t resize_move(struct arena *arena, uint32_t granule, size_t size, bool *moved) {
  struct run *run = block_run(granule);
  uintptr_t address = block_address(granule), start = block_pages(granule);
  size_t bytes = block_end(granule) - start, phase = bytes;
  struct refpage *refpage = run->arena == arena ? run->refpage : arena->refpage;
  unsigned stage = refpage_stage_alone(refpage, size);
  bool movable = run->refpage->kind != REFPAGE_UFFD; /* what moves is not watched any more */
  *moved = movable && run->arena == arena && os_uses(arena->options, OS_MREMAP_DONTUNMAP);
  if (stage < run->stage) stage = run->stage;
  if (*moved && run_is_solo(run)) {
    *moved = !has_short_spans(run, size);
    stage = *moved ? run->stage : stage;
    phase = run_span_end(run, start) - start;
  }
  if (!*moved) phase = 0;
  if (stage == STAGES) return 0;
  uint32_t target = take_roomy(arena, refpage, size, address - start, phase, stage);
  if (target && arena != run->arena) os_populate(block_pages(target), bytes);
  if (!target) return 0;
  if (may_have_tag(target, granule) && run_move(run, start, block_run(target), bytes, moved))
    return target;
  arena_release_run(arena, region.table[target].run);
  return 0;
}

RARE bool resize_grow(struct arena *arena, uint32_t granule, size_t size) {
  struct run *run = block_run(granule);
  uintptr_t old_end = block_end(granule), end = page_up(block_address(granule) + size);
  uintptr_t inside = end < run->end ? end : run->end;
  if (!run_is_solo(run) || end < old_end || has_short_spans(run, size)) return false;
  bool longer = end > run->end;
  if (!guard_remove(run, old_end, inside)) return false;
  if (longer && !run_lengthen(run, end, arena_guard_bytes(arena))) {
    arena_install_guard(arena, run, old_end, inside);
    return false;
  }
  if (longer) arena_install_guard(arena, run, end, run->end);
  region.table[granule].size = size;
  run->grown = true;
  return true;
}

RARE void resize_shrink(struct arena *arena, uint32_t granule, size_t size) {
  struct run *run = block_run(granule);
  uintptr_t old_end = block_end(granule), end = page_up(block_address(granule) + size);
  region.table[granule].size = size;
  if (end == old_end) return;
  if (run_is_solo(run)) {
    run_shorten(run, end);
    if (old_end > run->end) old_end = run->end;
  }
  arena_install_guard(arena, run, end, old_end);
}
