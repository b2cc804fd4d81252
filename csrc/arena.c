/* Arenas (see arena.h). */
#include "arena.h"

#include "guard.h"
#include "stats.h"

#include <errno.h>

enum { LEAST_ALIGNMENT = 16, VICTIMS = 16 };

void arena_init(struct arena *arena, struct refpage *refpage, const struct options *options,
                struct stats *stats) {
  lock_init(&arena->lock);
  arena->refpage = refpage;
  arena->options = options;
  arena->stats = stats;
}

static size_t guard_bytes(const struct arena *arena) {
  return arena->options->guard_pages << os_page_shift;
}

static struct run *run_of(uint32_t granule) {
  return run_at(region.table[granule].run);
}

static void install_guard(struct arena *arena, struct run *run, uintptr_t from, uintptr_t to) {
  if (!guard_install(run, from, to, arena->options) && arena->options->guard_pages)
    stats_add(arena->stats, STAT_GUARDS_MISSING, 1);
}

/* Shapes: the granules of a slot or a solo run hold a guard, the block's pages, a guard. */

static uint32_t granules_for(const struct arena *arena, size_t bytes) {
  size_t mask = ((size_t)1 << region.shift) - 1;
  return (uint32_t)((bytes + 2 * guard_bytes(arena) + mask) >> region.shift);
}

/* The highest address at which a block of this size and alignment ends before `end`. */
static uintptr_t address_before(uintptr_t end, size_t size, size_t alignment) {
  if (alignment < LEAST_ALIGNMENT) alignment = LEAST_ALIGNMENT;
  return (end - size) & ~(alignment - 1);
}

static uint32_t set_block(uint32_t run, uintptr_t address, size_t size) {
  uint32_t granule = granule_of(address);
  struct granule *block = &region.table[granule];
  block->run = run;
  block->size = size;
  block->offset = (uint32_t)(address - granule_address(granule));
  atomic_store_explicit(&block->state, GRANULE_BUSY, memory_order_relaxed);
  return granule;
}

static void forget_block(uint32_t granule) {
  atomic_store_explicit(&region.table[granule].state, GRANULE_NONE, memory_order_relaxed);
}

/* Bins */

static unsigned bin_of(uint32_t granules) {
  if (granules < SHARED_MOST) return granules;
  unsigned log = 31u - (unsigned)__builtin_clz(granules); /* 8 or more */
  return SHARED_MOST + 4 * (log - 8) + (granules >> (log - 2) & 3);
}

/* A solo run may have been left with less room than its granules promise (after growth): what
 * counts is the largest block that fits. */
static uint32_t capacity_of(const struct arena *arena, const struct run *run) {
  if (!run_is_solo(run)) return run->slot;
  size_t room = run->end - granule_address(run->first) + guard_bytes(arena);
  return (uint32_t)(room >> region.shift);
}

static void push(struct arena *arena, uint32_t granule) {
  struct granule *block = &region.table[granule];
  uint32_t *head = &arena->bins[bin_of(capacity_of(arena, run_at(block->run)))];
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
    arena->bins[bin_of(capacity_of(arena, run_at(block->run)))] = block->next;
  if (block->next) region.table[block->next].prev = block->prev;
}

/* A freed block with the capacity wanted or, for large ones, up to a quarter more. */
static uint32_t find_free(struct arena *arena, uint32_t granules) {
  enum { PROBES = 16 };
  if (granules < SHARED_MOST) return arena->bins[granules];
  int probes = PROBES;
  unsigned last = bin_of(granules + granules / 4);
  for (unsigned bin = bin_of(granules); bin <= last; bin++)
    for (uint32_t at = arena->bins[bin]; at && probes--; at = region.table[at].next) {
      uint32_t capacity = capacity_of(arena, run_of(at));
      if (capacity >= granules && capacity <= granules + granules / 4) return at;
    }
  return 0;
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
    forget_block(granule);
  }
}

static bool is_due(const struct arena *arena, const struct run *run, uint32_t now) {
  int64_t interval = arena->options->release_interval;
  return arena->idle_bytes > arena->options->cache_size ||
         (interval >= 0 && now - run->idle_since > (uint64_t)interval);
}

/* The runs that have been idle for too long or are too many, a few at a time; or all. */
static unsigned detach_due(struct arena *arena, uint32_t *victims, bool all) {
  unsigned count = 0;
  uint32_t now = arena->idle_first ? os_milliseconds() : 0;
  while (arena->idle_first && count < VICTIMS &&
         (all || is_due(arena, run_at(arena->idle_first), now))) {
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

size_t arena_release(struct arena *arena) {
  uint32_t victims[VICTIMS];
  size_t bytes = 0;
  unsigned count;
  do {
    lock_take(&arena->lock);
    count = detach_due(arena, victims, true);
    lock_drop(&arena->lock);
    bytes += release_runs(arena, victims, count);
  } while (count);
  return bytes;
}

/* Taking a freed block */

static uint32_t pop_free(struct arena *arena, uint32_t granules) {
  uint32_t granule = find_free(arena, granules);
  if (!granule) return 0;
  unlink_block(arena, granule);
  block_taken(arena, region.table[granule].run);
  return granule;
}

/* Moves the guards of a freed slot so that they fit a block of another size. */
static uint32_t fit_slot(struct arena *arena, uint32_t granule, size_t size, size_t alignment) {
  uint32_t index = region.table[granule].run;
  struct run *run = run_at(index);
  uint32_t slot = (granule - run->first) / run->slot;
  uintptr_t slot_end = granule_address(run->first + (slot + 1) * run->slot);
  uintptr_t old_start = block_pages(granule), old_end = block_end(granule);
  uintptr_t end = slot_end - guard_bytes(arena);
  uintptr_t address = address_before(end, size, alignment), start = page_down(address);
  if (!guard_remove(run, old_end, end)) return 0;
  if (start < old_start && !guard_remove(run, start, old_start)) return 0;
  if (start > old_start) install_guard(arena, run, old_start, start);
  forget_block(granule);
  return set_block(index, address, size);
}

/* Maps more or less at the front of a freed solo run, and returns what address space is spare. */
static uint32_t fit_solo(struct arena *arena, uint32_t granule, size_t size, size_t alignment) {
  uint32_t index = region.table[granule].run;
  struct run *run = run_at(index);
  uintptr_t address = address_before(run->end, size, alignment), start = page_down(address);
  if (!guard_remove(run, block_end(granule), run->end)) return 0;
  if (start != run->start && !run_remap(run, start, run->end)) return 0;
  uint32_t first = granule_of(start - guard_bytes(arena));
  uint32_t last = granule_of(run->end + guard_bytes(arena) - 1) + 1;
  uint32_t front = first - run->first, tail = run->first + run->granules - last;
  run_resize(run, first, last - first);
  if (front) region_give(first - front, front);
  if (tail) region_give(last, tail);
  forget_block(granule);
  return set_block(index, address, size);
}

/* The guards that the last block left are in place where this one is as large. Where the kernel
 * refuses, a slot is freed again, and a run, which may be half mapped now, is released. */
static uint32_t fit(struct arena *arena, uint32_t granule, size_t size, size_t alignment) {
  uint32_t index = region.table[granule].run;
  bool solo = run_is_solo(run_at(index));
  uint32_t fitted = (solo ? fit_solo : fit_slot)(arena, granule, size, alignment);
  if (fitted) {
    stats_add(arena->stats, STAT_BLOCKS_REUSED, 1);
  } else if (solo) {
    forget_block(granule);
    release_runs(arena, &index, 1);
  } else {
    arena_give(arena, granule);
  }
  return fitted;
}

/* Taking a new one */

static uint32_t prepare_slot(struct arena *arena, uint32_t index, uint32_t slot, size_t size,
                             size_t alignment) {
  struct run *run = run_at(index);
  uintptr_t slot_start = granule_address(run->first + slot * run->slot);
  uintptr_t slot_end = granule_address(run->first + (slot + 1) * run->slot);
  uintptr_t end = slot_end - guard_bytes(arena);
  uintptr_t address = address_before(end, size, alignment);
  install_guard(arena, run, slot_start, page_down(address));
  install_guard(arena, run, end, slot_end);
  return set_block(index, address, size);
}

static bool take_fresh(struct arena *arena, uint32_t granules, uint32_t *index, uint32_t *slot) {
  *index = arena->fresh[granules];
  if (!*index) return false;
  struct run *run = run_at(*index);
  block_taken(arena, *index);
  *slot = run->used++;
  if (run->used == run->slots) arena->fresh[granules] = run->fresh_next;
  return true;
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

static uint32_t finish_solo(struct arena *arena, uint32_t index, uintptr_t address, size_t size) {
  run_at(index)->live = 1; /* nobody else knows the run yet */
  stats_add(arena->stats, STAT_RUNS, 1);
  return set_block(index, address, size);
}

/* The block ends at the trailing guard or, if aligned to more than a page, starts on a granule. */
static uint32_t take_solo(struct arena *arena, unsigned stage, size_t size, size_t alignment) {
  bool aligned = alignment > os_page;
  size_t guard = guard_bytes(arena), granule = (size_t)1 << region.shift;
  struct solo solo = {.stage = stage, .size = page_up(size)};
  if (aligned) {
    solo.lead = (uint32_t)((guard + granule - 1) >> region.shift);
    solo.offset = (size_t)solo.lead << region.shift;
    solo.granules = (uint32_t)((solo.offset + solo.size + guard + granule - 1) >> region.shift);
    solo.alignment = alignment > granule ? alignment : granule;
  } else {
    solo.granules = granules_for(arena, solo.size);
    solo.offset = ((size_t)solo.granules << region.shift) - guard - solo.size;
  }
  uint32_t index = run_new_solo(arena, arena->refpage, &solo);
  if (!index) return 0;
  struct run *run = run_at(index);
  uintptr_t address = aligned ? run->start : address_before(run->end, size, alignment);
  return finish_solo(arena, index, address, size);
}

static uint32_t take_new(struct arena *arena, uint32_t granules, size_t size, size_t alignment) {
  unsigned stage = refpage_stage(arena->refpage, (size_t)granules << region.shift);
  if (stage == STAGES) return errno = ENOMEM, 0;
  size_t span = refpage_span(arena->refpage, stage) >> region.shift;
  if (alignment > os_page || granules >= SHARED_MOST || granules * 2 > span)
    return take_solo(arena, stage, size, alignment);
  uint32_t index = new_shared(arena, stage, granules);
  return index ? prepare_slot(arena, index, 0, size, alignment) : 0;
}

uint32_t arena_take(struct arena *arena, size_t size, size_t alignment) {
  uint32_t granules = granules_for(arena, page_up(size)), index = 0, slot = 0, granule = 0;
  if (alignment <= os_page) {
    lock_take(&arena->lock);
    granule = pop_free(arena, granules);
    if (!granule && granules < SHARED_MOST) take_fresh(arena, granules, &index, &slot);
    lock_drop(&arena->lock);
  }
  if (granule) granule = fit(arena, granule, size, alignment);
  if (granule) return granule;
  return index ? prepare_slot(arena, index, slot, size, alignment)
               : take_new(arena, granules, size, alignment);
}

void arena_give(struct arena *arena, uint32_t granule) {
  uint32_t victims[VICTIMS], index = region.table[granule].run;
  struct run *run = run_at(index);
  lock_take(&arena->lock);
  push(arena, granule);
  if (--run->live == 0) make_idle(arena, index);
  unsigned count = detach_due(arena, victims, false);
  lock_drop(&arena->lock);
  release_runs(arena, victims, count);
}

/* Growing and shrinking */

/* A block with a run of its own, mapped in whole spans, and as much address space again to grow. */
static uint32_t take_roomy(struct arena *arena, size_t size, size_t offset, size_t phase,
                           unsigned stage) {
  size_t guard = guard_bytes(arena), span = refpage_span(arena->refpage, stage);
  size_t pages = page_up(offset + size), first = phase ? phase : span;
  struct solo solo = {.stage = stage, .phase = first, .offset = guard, .size = first};
  if (pages > first) solo.size += (pages - first + span - 1) / span * span;
  solo.granules = granules_for(arena, 2 * solo.size);
  uint32_t index = run_new_solo(arena, arena->refpage, &solo);
  if (!index) return 0;
  struct run *run = run_at(index);
  install_guard(arena, run, run->start + pages, run->end);
  return finish_solo(arena, index, run->start + offset, size);
}

/* Pages are moved span by span, so the new run's spans must begin where the old one's do; but where
 * those are too short for the new size, the content is copied into longer ones. */
uint32_t arena_move(struct arena *arena, uint32_t granule, size_t size, bool *moved) {
  enum { SPANS_MOST = 256 };
  struct run *run = run_of(granule);
  uintptr_t address = block_address(granule), start = block_pages(granule);
  size_t bytes = block_end(granule) - start, phase = bytes;
  unsigned stage = refpage_stage(arena->refpage, size);
  *moved = options_use(arena->options, OS_MREMAP_DONTUNMAP);
  if (stage < run->stage) stage = run->stage;
  if (run_is_solo(run)) {
    bool short_spans = size / refpage_span(run->refpage, run->stage) > SPANS_MOST;
    if (short_spans && stage > run->stage) *moved = false;
    if (!*moved)
      phase = 0;
    else
      stage = run->stage, phase = run->phase;
  }
  if (stage == STAGES) return 0;
  uint32_t target = take_roomy(arena, size, address - start, phase, stage);
  if (!target || run_move(run, start, run_of(target), bytes, moved)) return target;
  uint32_t index = region.table[target].run;
  forget_block(target);
  release_runs(arena, &index, 1);
  return 0;
}

/* Maps spans after the last one, where the address space is free. */
static bool extend(struct arena *arena, struct run *run, uintptr_t end) {
  size_t span = refpage_span(run->refpage, run->stage), granule = (size_t)1 << region.shift;
  uintptr_t mapped = run->end + (end - run->end + span - 1) / span * span;
  uintptr_t room = granule_address(run->first + run->granules),
            needed = mapped + guard_bytes(arena);
  if (needed > room) {
    size_t more = (needed - room + granule - 1) >> region.shift;
    if (more > UINT32_MAX || !region_extend(run->first + run->granules, (uint32_t)more))
      return false;
    run_resize(run, run->first, run->granules + (uint32_t)more);
  }
  if (!run_remap(run, run->start, mapped)) return false;
  install_guard(arena, run, end, run->end);
  return true;
}

bool arena_grow(struct arena *arena, uint32_t granule, size_t size) {
  struct run *run = run_of(granule);
  uintptr_t old_end = block_end(granule), end = page_up(block_address(granule) + size);
  uintptr_t inside = end < run->end ? end : run->end;
  if (!run_is_solo(run) || end < old_end) return false;
  if (!guard_remove(run, old_end, inside)) return false;
  if (end > run->end && !extend(arena, run, end)) {
    install_guard(arena, run, old_end, inside);
    return false;
  }
  region.table[granule].size = size;
  return true;
}

void arena_shrink(struct arena *arena, uint32_t granule, size_t size) {
  struct run *run = run_of(granule);
  uintptr_t old_end = block_end(granule), end = page_up(block_address(granule) + size);
  region.table[granule].size = size;
  if (end == old_end) return;
  if (run_is_solo(run)) {
    uintptr_t boundary = run_span_end(run, end - 1);
    if (boundary < run->end) run_remap(run, run->start, boundary);
    if (old_end > run->end) old_end = run->end;
  }
  install_guard(arena, run, end, old_end);
}
