/* Arenas (see arena.h). */
#include "blocks/arena.h"

#include "blocks/tag.h"
#include "os/memory.h"
#include "os/process.h"
#include "pages/guard.h"

#include <errno.h>

enum { LEAST_ALIGNMENT = 16, VICTIMS = 16, SLOTS_AT_ONCE = OS_RANGES_MOST - 1 };

void arena_install_guard(struct arena *arena, struct run *run, uintptr_t from, uintptr_t to) {
  if (!guard_install(run, from, to, arena->options) && arena->options->guard_pages)
    stats_add(arena->stats, STAT_GUARDS_MISSING, 1);
}

/* Shapes: the granules of a slot or a solo run hold a guard, the block's pages, a guard. */

uint32_t arena_granules_for(const struct arena *arena, size_t bytes) {
  size_t mask = ((size_t)1 << region.shift) - 1;
  return (uint32_t)((bytes + 2 * arena_guard_bytes(arena) + mask) >> region.shift);
}

/* The highest address at which a block of this size and alignment ends before `end`. */
static uintptr_t address_before(uintptr_t end, size_t size, size_t alignment) {
  if (alignment < LEAST_ALIGNMENT) alignment = LEAST_ALIGNMENT;
  return (end - size) & ~(alignment - 1);
}

/* Bins */

static unsigned capacity_bin(uint32_t granules) {
  if (granules < SHARED_MOST) return granules;
  unsigned log = 31u - (unsigned)__builtin_clz(granules); /* 8 or more */
  return SHARED_MOST + 4 * (log - 8) + (granules >> (log - 2) & 3);
}

/* A solo run may have been left with less room than its granules promise (after growth): what
 * counts is the largest block that fits. */
static uint32_t capacity_of(const struct arena *arena, const struct run *run) {
  if (!run_is_solo(run)) return run->slot;
  size_t room = run->end - granule_address(run->first) + arena_guard_bytes(arena);
  return (uint32_t)(room >> region.shift);
}

static void push(struct arena *arena, uint32_t granule) {
  struct granule *block = &region.table[granule];
  uint32_t *head = &arena->bins[capacity_bin(capacity_of(arena, run_at(block->run)))];
  block->prev = 0;
  block->next = *head;
  if (*head) region.table[*head].prev = granule;
  *head = granule;
  atomic_store_explicit(&block->state, GRANULE_FREE, memory_order_release);
}

static void unlink_block(struct arena *arena, uint32_t granule) {
  struct granule *block = &region.table[granule];
  if (block->prev)
    region.table[block->prev].next = block->next;
  else
    arena->bins[capacity_bin(capacity_of(arena, run_at(block->run)))] = block->next;
  if (block->next) region.table[block->next].prev = block->prev;
}

unsigned arena_bin(const struct arena *arena, size_t size) {
  return capacity_bin(arena_granules_for(arena, page_up(size)));
}

/* A freed block with the capacity wanted or, rather than none, up to an eighth more: one of the
 * first few of each bin. */
static uint32_t find_free(struct arena *arena, uint32_t granules, bool kept_only) {
  enum { PROBES = 4 };
  uint32_t most = granules + granules / 8;
  for (unsigned bin = capacity_bin(granules); bin <= capacity_bin(most); bin++) {
    int probes = PROBES;
    for (uint32_t at = arena->bins[bin]; at && probes--; at = region.table[at].next) {
      uint32_t capacity = capacity_of(arena, block_run(at));
      if (capacity >= granules && capacity <= most && (!kept_only || region.table[at].kept))
        return at;
    }
  }
  return 0;
}

/* Kept pages */

uint16_t arena_keep(struct arena *arena, uint32_t pages, bool reused) {
  lock_take(&arena->lock);
  uint32_t place = arena->kept_unused;
  if (place)
    arena->kept_unused = arena->kept[place].next;
  else if (arena->kept_made < KEPT_MOST)
    place = ++arena->kept_made;
  if (place) arena->kept[place] = (struct kept){.pages = pages, .reused = reused};
  lock_drop(&arena->lock);
  return (uint16_t)place;
}

static void enter_kept(struct arena *arena, uint32_t granule, uint16_t place) {
  region.table[granule].kept = place;
  if (!place) return;
  arena->kept[place].granule = granule;
  arena->kept[place].since = os_milliseconds();
}

/* Strikes a block off the table; returns how many of its pages were kept. */
static uint32_t leave_kept(struct arena *arena, uint32_t granule) {
  uint32_t place = region.table[granule].kept;
  if (!place) return 0;
  uint32_t pages = arena->kept[place].pages;
  region.table[granule].kept = 0;
  arena->kept[place] = (struct kept){.next = arena->kept_unused};
  arena->kept_unused = place;
  atomic_fetch_sub_explicit(&arena->usage->retained, (uint64_t)pages << os_page_shift,
                            memory_order_relaxed);
  return pages;
}

/* Idle runs */

static void make_idle(struct arena *arena, uint32_t index) {
  struct run *run = run_at(index);
  run->idle_since = os_milliseconds();
  run->idle_next = 0;
  run->idle_prev = arena->idle_last;
  if (arena->idle_last)
    run_at(arena->idle_last)->idle_next = index;
  else
    arena->idle_first = index;
  arena->idle_last = index;
  arena->idle_bytes += run_bytes(run);
}

static void end_idle(struct arena *arena, uint32_t index) {
  struct run *run = run_at(index);
  if (run->idle_prev)
    run_at(run->idle_prev)->idle_next = run->idle_next;
  else
    arena->idle_first = run->idle_next;
  if (run->idle_next)
    run_at(run->idle_next)->idle_prev = run->idle_prev;
  else
    arena->idle_last = run->idle_prev;
  arena->idle_bytes -= run_bytes(run);
}

static void block_taken(struct arena *arena, uint32_t index) {
  struct run *run = run_at(index);
  if (run->live++ == 0 && run->used) end_idle(arena, index);
}

/* Takes every trace of an idle run out of the arena. */
static void detach(struct arena *arena, uint32_t index) {
  struct run *run = run_at(index);
  end_idle(arena, index);
  if (run->used < run->slots) {
    uint32_t *link = &arena->fresh[run->slot];
    while (*link != index) link = &run_at(*link)->fresh_next;
    *link = run->fresh_next;
  }
  uint32_t step = run_is_solo(run) ? run->granules : run->slot;
  for (uint32_t slot = 0; slot < run->used; slot++) {
    uint32_t granule = run->first + slot * step; /* the block begins a few granules further */
    while (atomic_load_explicit(&region.table[granule].state, memory_order_relaxed) != GRANULE_FREE)
      granule++;
    unlink_block(arena, granule);
    leave_kept(arena, granule);
  }
}

/* Where address space has a limit, less of it is idle. */
static bool is_idle_for_long(const struct arena *arena, const struct run *run, uint32_t now) {
  enum { LIMIT_SHARE = 16 };
  int64_t interval = arena->options->release_interval;
  return arena->idle_bytes > arena->options->cache_size ||
         arena->idle_bytes > region_limit / LIMIT_SHARE ||
         (interval >= 0 && now - run->idle_since > (uint64_t)interval);
}

/* The runs that have been idle for too long or are too many, a few at a time; or all. */
static unsigned detach_due(struct arena *arena, uint32_t *victims, bool all) {
  unsigned count = 0;
  uint32_t now = arena->idle_first ? os_milliseconds() : 0;
  while (arena->idle_first && count < VICTIMS &&
         (all || is_idle_for_long(arena, run_at(arena->idle_first), now))) {
    victims[count] = arena->idle_first;
    detach(arena, victims[count++]);
  }
  return count;
}

static size_t release_runs(struct arena *arena, const uint32_t *victims, unsigned count) {
  size_t bytes = 0;
  for (unsigned i = 0; i < count; i++) {
    bytes += run_bytes(run_at(victims[i]));
    run_release(victims[i]);
  }
  if (count) {
    stats_add(arena->stats, STAT_RUNS_RELEASED, count);
    stats_subtract(arena->stats, STAT_RUNS, count);
  }
  return bytes;
}

void arena_release_run(struct arena *arena, uint32_t run) {
  release_runs(arena, &run, 1);
}

size_t arena_release(struct arena *arena, bool all) {
  uint32_t victims[VICTIMS];
  size_t bytes = 0;
  unsigned count;
  do {
    lock_take(&arena->lock);
    count = detach_due(arena, victims, all);
    lock_drop(&arena->lock);
    bytes += release_runs(arena, victims, count);
  } while (count);
  return bytes;
}

/* Taking a freed block */

static uint32_t take_off(struct arena *arena, uint32_t granule, uint32_t *kept) {
  block_run(granule)->grown = false;
  unlink_block(arena, granule);
  *kept = leave_kept(arena, granule);
  atomic_store_explicit(&region.table[granule].state, GRANULE_BUSY, memory_order_relaxed);
  block_taken(arena, region.table[granule].run);
  return granule;
}

/* Drops the kept pages of a block that was taken off the arena's lists. */
static void drop_pages(struct arena *arena, uint32_t granule) {
  uintptr_t start = block_pages(granule);
  run_reset(block_run(granule), start, block_end(granule) - start, arena->options);
  arena_give(arena, granule, 0);
}

size_t arena_drop_kept(struct arena *arena, uint32_t milliseconds) {
  size_t dropped = 0;
  uint32_t now = os_milliseconds();
  for (uint32_t place = 1; place <= arena->kept_made; place++) {
    uint32_t pages = 0;
    lock_take(&arena->lock);
    const struct kept *kept = &arena->kept[place];
    uint32_t granule = kept->granule;
    bool due = granule && (!kept->reused || now - kept->since >= milliseconds);
    if (due) take_off(arena, granule, &pages);
    lock_drop(&arena->lock);
    if (!due) continue;
    drop_pages(arena, granule);
    dropped += (size_t)pages << os_page_shift;
  }
  return dropped;
}

/* Of those of the same millisecond the one with most pages. */
static uint32_t oldest_kept(const struct arena *arena) {
  uint32_t oldest = 0, now = os_milliseconds();
  for (uint32_t place = 1; place <= arena->kept_made; place++) {
    const struct kept *kept = &arena->kept[place], *other = &arena->kept[oldest];
    uint32_t age = now - kept->since, older = now - other->since;
    if (!kept->granule) continue;
    if (!oldest || age > older || (age == older && kept->pages > other->pages)) oldest = place;
  }
  return arena->kept[oldest].granule;
}

bool arena_drop_oldest(struct arena *arena) {
  uint32_t pages;
  lock_take(&arena->lock);
  uint32_t granule = oldest_kept(arena);
  if (granule) take_off(arena, granule, &pages);
  lock_drop(&arena->lock);
  if (granule) drop_pages(arena, granule);
  return granule;
}

/* Moves the guards of a freed slot so that they fit a block of another size. */
static uint32_t fit_slot(struct arena *arena, uint32_t granule, size_t size, size_t alignment) {
  uint32_t index = region.table[granule].run;
  struct run *run = run_at(index);
  uint32_t slot = (granule - run->first) / run->slot;
  uintptr_t slot_end = granule_address(run->first + (slot + 1) * run->slot);
  uintptr_t old_start = block_pages(granule), old_end = block_end(granule);
  uintptr_t end = slot_end - arena_guard_bytes(arena);
  uintptr_t address = address_before(end, size, alignment), start = page_down(address);
  if (!guard_remove(run, old_end, end)) return 0;
  if (start < old_start && !guard_remove(run, start, old_start)) return 0;
  if (start > old_start) arena_install_guard(arena, run, old_start, start);
  atomic_store_explicit(&region.table[granule].state, GRANULE_NONE, memory_order_relaxed);
  return block_place(index, address, size);
}

static uint32_t fit_solo(struct arena *arena, uint32_t granule, size_t size, size_t alignment) {
  uint32_t index = region.table[granule].run;
  struct run *run = run_at(index);
  uintptr_t address = address_before(run->end, size, alignment);
  if (!guard_remove(run, block_end(granule), run->end)) return 0;
  if (!run_fit(run, page_down(address), arena_guard_bytes(arena))) return 0;
  return block_place(index, address, size);
}

/* The guards that the last block left are in place where this one is as large. Where the kernel
 * refuses, a slot is freed again, and a run, which may be half mapped now, is released. */
static uint32_t fit(struct arena *arena, uint32_t granule, size_t size, size_t alignment) {
  uint32_t index = region.table[granule].run;
  bool solo = run_is_solo(run_at(index));
  uint32_t fitted = (solo ? fit_solo : fit_slot)(arena, granule, size, alignment);
  if (fitted)
    stats_add(arena->stats, STAT_BLOCKS_REUSED, 1);
  else if (solo)
    arena_release_run(arena, index);
  else
    arena_give(arena, granule, 0);
  return fitted;
}

/* Taking a new one */

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
    uintptr_t address = address_before(end, size, alignment);
    guards[i] = (struct os_range){from, page_down(address) - from};
    guards[i + 1] = (struct os_range){end, slot_end - end};
    blocks[i] = block_place(index, address, size);
    from = end;
  } while (++i < count);
  unsigned missing = guard_install_all(run, guards, count + 1, arena->options);
  if (missing && arena->options->guard_pages) stats_add(arena->stats, STAT_GUARDS_MISSING, missing);
  if (count > 1) lock_take(&arena->lock);
  for (i = 1; i < count; i++) push(arena, blocks[i]);
  if (count > 1) lock_drop(&arena->lock);
  return blocks[0];
}

/* Slots that never held a block: as many again as the run has used, so that a program which makes
 * many blocks of a size pays few calls for their guards. */
static uint32_t take_fresh(struct arena *arena, uint32_t granules, uint32_t *index,
                           uint32_t *slot) {
  *index = arena->fresh[granules];
  if (!*index) return 0;
  struct run *run = run_at(*index);
  block_taken(arena, *index);
  uint32_t count = run->used, left = run->slots - run->used;
  if (count > left) count = left;
  if (count > SLOTS_AT_ONCE) count = SLOTS_AT_ONCE;
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
  block_taken(arena, index);
  run->used = 1;
  if (run->slots > 1) {
    run->fresh_next = arena->fresh[granules];
    arena->fresh[granules] = index;
  }
  lock_drop(&arena->lock);
  return index;
}

uint32_t arena_place_solo(struct arena *arena, uint32_t index, uintptr_t address, size_t size) {
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
  uintptr_t address = alignment > os_page ? run->start : address_before(run->end, size, alignment);
  return arena_place_solo(arena, index, address, size);
}

/* Where pages come tagged each block has a run of its own, as its neighbours have other tags; and
 * where address space has a limit, as a shared run takes more of it than there are blocks. */
static uint32_t take_from_new_run(struct arena *arena, uint32_t granules, size_t size,
                                  size_t alignment) {
  size_t bytes = (size_t)granules << region.shift;
  bool tagged = refpage_comes_tagged(arena->refpage), alone = region_ask_limit() || tagged;
  if (bytes > region_limit) return errno = ENOMEM, 0;
  struct refpage *refpage =
      tagged ? refpage_with_tag(arena->refpage, tag_choose(0)) : arena->refpage;
  unsigned stage = refpage ? refpage_stage(refpage, bytes) : STAGES;
  if (stage == STAGES) return errno = ENOMEM, 0;
  size_t span = refpage_span(refpage, stage) >> region.shift;
  if (alone || alignment > os_page || granules >= SHARED_MOST || granules * 2 > span)
    return take_solo(arena, refpage, refpage_stage_alone(refpage, bytes), size, alignment);
  uint32_t index = new_shared(arena, stage, granules);
  return index ? prepare_slots(arena, index, 0, 1, size, alignment) : 0;
}

uint32_t arena_take_freed(struct arena *arena, size_t size, size_t alignment, bool kept_only,
                          uint32_t *kept) {
  *kept = 0;
  if (alignment > os_page) return 0;
  uint32_t granules = arena_granules_for(arena, page_up(size));
  arena->frees_in_a_row = 0;
  lock_take(&arena->lock);
  uint32_t granule = find_free(arena, granules, kept_only);
  if (granule) take_off(arena, granule, kept);
  lock_drop(&arena->lock);
  if (!granule) return 0;
  uintptr_t start = block_pages(granule);
  granule = fit(arena, granule, size, alignment);
  if (!granule || block_pages(granule) != start) *kept = 0;
  return granule;
}

uint32_t arena_take_new(struct arena *arena, size_t size, size_t alignment) {
  uint32_t granules = arena_granules_for(arena, page_up(size)), index = 0, slot = 0, count = 0;
  if (alignment <= os_page && granules < SHARED_MOST) {
    lock_take(&arena->lock);
    count = take_fresh(arena, granules, &index, &slot);
    lock_drop(&arena->lock);
  }
  return count ? prepare_slots(arena, index, slot, count, size, alignment)
               : take_from_new_run(arena, granules, size, alignment);
}

uint32_t arena_take_alone(struct arena *arena, size_t size, size_t alignment) {
  region_ask_limit();
  unsigned stage = refpage_stage_alone(arena->refpage, page_up(size));
  if (stage == STAGES) return errno = ENOMEM, 0;
  return take_solo(arena, arena->refpage, stage, size, alignment);
}

void arena_give(struct arena *arena, uint32_t granule, uint16_t kept) {
  uint32_t victims[VICTIMS], index = region.table[granule].run;
  struct run *run = run_at(index);
  lock_take(&arena->lock);
  enter_kept(arena, granule, kept);
  push(arena, granule);
  if (--run->live == 0) make_idle(arena, index);
  unsigned count = detach_due(arena, victims, false);
  lock_drop(&arena->lock);
  release_runs(arena, victims, count);
}

void arena_retire(struct arena *arena, uint32_t granule, uint16_t kept) {
  uint32_t index = region.table[granule].run;
  lock_take(&arena->lock);
  enter_kept(arena, granule, kept);
  leave_kept(arena, granule);
  lock_drop(&arena->lock);
  arena_release_run(arena, index);
}
