/* Placing new blocks (see place.h). */
#include "blocks/place.h"

#include "blocks/tag.h"
#include "os/memory.h"
#include "pages/guard.h"

#include <errno.h>

enum { SLOTS_AT_ONCE = OS_RANGES_MOST - 1 };

/* In a shared run */

/* Guards for `count` blocks of this size, from `slot` on, by one call: where one block's end and
 * the next one's start lie together, one range is the guard of both. Returns the first block; the
 * others are freed ones from here on. */
static uint32_t prepare_slots(struct arena *arena, uint32_t index, uint32_t slot, uint32_t count,
                              size_t size, size_t alignment) {
  struct os_range guards[SLOTS_AT_ONCE + 1];
  struct run *run = run_at(index);
  uint32_t blocks[SLOTS_AT_ONCE];
  uintptr_t from = granule_address(run->first + slot * run->slot);
  uint32_t i = 0;
  do {
    uintptr_t slot_end = granule_address(run->first + (slot + i + 1) * run->slot);
    uintptr_t end = slot_end - arena_guard_bytes(arena);
    uintptr_t address = arena_address_before(end, size, alignment);
    guards[i] = (struct os_range){from, page_down(address) - from};
    guards[i + 1] = (struct os_range){end, slot_end - end};
    blocks[i] = block_place(index, address, size);
    from = end;
  } while (++i < count);
  unsigned missing = guard_install_all(run, guards, count + 1, arena->options);
  if (missing && arena->options->guard_pages) stats_add(arena->stats, STAT_GUARDS_MISSING, missing);
  if (count > 1) lock_take(&arena->lock);
  for (i = 1; i < count; i++) arena_push(arena, blocks[i]);
  if (count > 1) lock_drop(&arena->lock);
  return blocks[0];
}

/* Slots that never held a block: as many again as the run has used, so that a program which makes
 * many blocks of a size pays few calls for their guards; one where freed ones, which are of other
 * sizes then, are left. */
static uint32_t take_fresh(struct arena *arena, uint32_t granules, uint32_t *index,
                           uint32_t *slot) {
  *index = arena->fresh[granules];
  if (!*index) return 0;
  struct run *run = run_at(*index);
  arena_count_taken(arena, *index);
  uint32_t count = run->used, left = run->slots - run->used;
  if (count > left) count = left;
  if (count > SLOTS_AT_ONCE) count = SLOTS_AT_ONCE;
  if (arena->bins[granules]) count = 1;
  *slot = run->used;
  run->used += count;
  if (run->used == run->slots) arena->fresh[granules] = run->fresh_next;
  return count;
}

static uint32_t new_shared(struct arena *arena, unsigned stage, uint32_t granules) {
  uint32_t index = run_new_shared(arena, arena->refpage, stage, granules);
  if (!index) return 0;
  struct run *run = run_at(index);
  stats_add(arena->stats, STAT_RUNS, 1);
  lock_take(&arena->lock);
  arena_count_taken(arena, index);
  run->used = 1;
  if (run->slots > 1) {
    run->fresh_next = arena->fresh[granules];
    arena->fresh[granules] = index;
  }
  lock_drop(&arena->lock);
  return index;
}

/* With a run of its own */

uint32_t place_solo(struct arena *arena, uint32_t index, uintptr_t address, size_t size) {
  run_at(index)->live = 1; /* nobody else knows the run yet */
  stats_add(arena->stats, STAT_RUNS, 1);
  return block_place(index, address, size);
}

/* A block that starts on a granule. */
static struct solo aligned_shape(const struct arena *arena, size_t size, size_t alignment) {
  size_t guard = arena_guard_bytes(arena), granule = (size_t)1 << region.shift;
  struct solo solo = {.size = page_up(size)};
  solo.lead = (uint32_t)((guard + granule - 1) >> region.shift);
  solo.offset = (size_t)solo.lead << region.shift;
  solo.granules = (uint32_t)((solo.offset + solo.size + guard + granule - 1) >> region.shift);
  solo.alignment = alignment > granule ? alignment : granule;
  return solo;
}

/* A block that ends at the trailing guard. Its front is the end of what a page table covers, alone:
 * a reset skips what no page table covers, and so most of a block of which the front was written.
 */
static struct solo ending_shape(const struct arena *arena, size_t size) {
  size_t table = os_page_table(), granule = (size_t)1 << region.shift;
  struct solo solo = {.size = page_up(size)};
  solo.granules = arena_granules_for(arena, solo.size);
  solo.offset = ((size_t)solo.granules << region.shift) - arena_guard_bytes(arena) - solo.size;
  if (size < table / 2) return solo;
  solo.lead = 1;
  solo.alignment = size < table * (table / granule) ? table : table * (os_page / sizeof(uint64_t));
  solo.gap = (uint32_t)(solo.alignment >> region.shift) - solo.lead;
  return solo;
}

/* What is aligned needs more address space than there may be. */
static uint32_t new_solo(struct arena *arena, struct refpage *refpage, struct solo *solo) {
  uint32_t index = run_new_solo(arena, refpage, solo);
  if (index || !solo->gap) return index;
  solo->lead = solo->gap = 0;
  solo->alignment = 0;
  return run_new_solo(arena, refpage, solo);
}

/* Pages start on a granule, too, where huge pages are to back them. */
static uint32_t take_solo(struct arena *arena, struct refpage *refpage, unsigned stage, size_t size,
                          size_t alignment) {
  bool huge = arena->huge_page && size >= arena->huge_page;
  size_t start_alignment = alignment > os_page ? alignment : 0;
  if (huge && start_alignment < arena->huge_page) start_alignment = arena->huge_page;
  struct solo solo =
      start_alignment ? aligned_shape(arena, size, start_alignment) : ending_shape(arena, size);
  solo.stage = stage;
  uint32_t index = new_solo(arena, refpage, &solo);
  if (!index) return 0;
  struct run *run = run_at(index);
  run_is_outgrown(run, true); /* so that the next one is not, if that was one too many */
  if (huge) os_use_huge_pages(run->start, run->end - run->start);
  uintptr_t address =
      alignment > os_page ? run->start : arena_address_before(run->end, size, alignment);
  return place_solo(arena, index, address, size);
}

/* Where pages come tagged each block has a run of its own, as its neighbours have other tags; and
 * where address space has a limit, as a shared run takes more of it than there are blocks: while
 * there are mappings to spare. */
static uint32_t take_from_new_run(struct arena *arena, uint32_t granules, size_t size,
                                  size_t alignment) {
  size_t bytes = (size_t)granules << region.shift;
  bool tagged = refpage_comes_tagged(arena->refpage), limited = region_ask_limit();
  bool alone = tagged || (limited && vmas_used < vmas_allowed() / 2);
  if (bytes > region_limit) return errno = ENOMEM, 0;
  struct refpage *refpage =
      tagged ? refpage_with_tag(arena->refpage, tag_choose(0)) : arena->refpage;
  unsigned stage = refpage ? refpage_stage(refpage, bytes) : STAGES;
  if (stage == STAGES) return errno = ENOMEM, 0;
  size_t span = refpage_span(stage) >> region.shift;
  if (alone || alignment > os_page || granules >= SHARED_MOST || granules * 2 > span)
    return take_solo(arena, refpage, refpage_stage_alone(refpage, bytes), size, alignment);
  uint32_t index = new_shared(arena, stage, granules);
  return index ? prepare_slots(arena, index, 0, 1, size, alignment) : 0;
}

uint32_t place_new(struct arena *arena, size_t size, size_t alignment) {
  uint32_t granules = arena_granules_for(arena, page_up(size)), index = 0, slot = 0, count = 0;
  if (alignment <= os_page && granules < SHARED_MOST) {
    lock_take(&arena->lock);
    count = take_fresh(arena, granules, &index, &slot);
    lock_drop(&arena->lock);
  }
  return count ? prepare_slots(arena, index, slot, count, size, alignment)
               : take_from_new_run(arena, granules, size, alignment);
}

uint32_t place_alone(struct arena *arena, size_t size, size_t alignment) {
  region_ask_limit();
  unsigned stage = refpage_stage_alone(arena->refpage, page_up(size));
  if (stage == STAGES) return errno = ENOMEM, 0;
  return take_solo(arena, arena->refpage, stage, size, alignment);
}
