/* Arenas (see arena.h). */
#include "blocks/arena.h"

#include "blocks/tag.h"
#include "os/features.h"
#include "os/memory.h"
#include "os/process.h"
#include "pages/guard.h"

enum { VICTIMS = 16, SAME_PROBES = 64 };

/* Shapes */

uint32_t arena_granules_for(const struct arena *arena, size_t bytes) {
  size_t mask = ((size_t)1 << region.shift) - 1;
  return (uint32_t)((bytes + 2 * arena_guard_bytes(arena) + mask) >> region.shift);
}

uintptr_t arena_address_before(uintptr_t end, size_t size, size_t alignment) {
  enum { LEAST_ALIGNMENT = 16 };
  if (!alignment) alignment = LEAST_ALIGNMENT;
  return (end - size) & ~(alignment - 1);
}

void arena_install_guard(struct arena *arena, struct run *run, uintptr_t from, uintptr_t to) {
  if (!guard_install(run, from, to, arena->options) && arena->options->guard_pages)
    stats_add(arena->stats, STAT_GUARDS_MISSING, 1);
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

void arena_push(struct arena *arena, uint32_t granule) {
  struct granule *block = &region.table[granule];
  uint32_t capacity = capacity_of(arena, run_at(block->run));
  uint32_t *head = &arena->bins[capacity_bin(capacity)];
  block->prev = 0;
  block->next = *head;
  if (*head) region.table[*head].prev = granule;
  *head = granule;
  arena->freed += capacity;
  atomic_store_explicit(&block->state, GRANULE_FREE, memory_order_release);
}

static void unlink_block(struct arena *arena, uint32_t granule) {
  struct granule *block = &region.table[granule];
  uint32_t capacity = capacity_of(arena, run_at(block->run));
  if (block->prev)
    region.table[block->prev].next = block->next;
  else
    arena->bins[capacity_bin(capacity)] = block->next;
  if (block->next) region.table[block->next].prev = block->prev;
  arena->freed -= capacity;
}

unsigned arena_bin(const struct arena *arena, size_t size) {
  return capacity_bin(arena_granules_for(arena, page_up(size)));
}

/* Where the guard behind a block begins that lies where this one does. */
static uintptr_t end_for_block(const struct arena *arena, const struct run *run, uint32_t granule) {
  if (run_is_solo(run)) return run->end;
  uint32_t slots = (granule - run->first) / run->slot + 1;
  return granule_address(run->first + slots * run->slot) - arena_guard_bytes(arena);
}

/* Whether a block of that alignment, if it is more than a page, can lie there with a guard at its
 * end. */
RARE static bool can_be_aligned(const struct arena *arena, uint32_t granule, size_t size,
                                size_t alignment) {
  const struct run *run = block_run(granule);
  uintptr_t start = end_for_block(arena, run, granule) - page_up(size);
  return !(start & (alignment - 1)) && (!run_is_solo(run) || start >= run->start);
}

/* A freed block with the capacity wanted or, rather than none, up to an eighth more: one of the
 * first few of each bin. */
static uint32_t find_near(const struct arena *arena, uint32_t granules, size_t size,
                          size_t alignment, bool kept_only) {
  enum { PROBES = 4 };
  uint32_t most = granules + granules / 8;
  for (unsigned bin = capacity_bin(granules); bin <= capacity_bin(most); bin++) {
    int probes = PROBES;
    for (uint32_t at = arena->bins[bin]; at && probes--; at = region.table[at].next) {
      uint32_t capacity = capacity_of(arena, block_run(at));
      if (capacity >= granules && capacity <= most && (!kept_only || region.table[at].kept) &&
          (alignment <= os_page || can_be_aligned(arena, at, size, alignment)))
        return at;
    }
  }
  return 0;
}

/* One of as many pages, the guards of which are where they are to be. */
static uint32_t find_same(const struct arena *arena, uint32_t granules, size_t size,
                          size_t alignment) {
  int probes = SAME_PROBES;
  for (uint32_t at = arena->bins[capacity_bin(granules)]; at && probes--;
       at = region.table[at].next)
    if (block_end(at) - block_pages(at) == page_up(size) &&
        (alignment <= os_page || can_be_aligned(arena, at, size, alignment)))
      return at;
  return 0;
}

/* Where few pages of blocks are written, a fault more for each that lies elsewhere in the next
 * block and the guards' moving would cost more than all else does. So blocks of other sizes are
 * left for requests of theirs: as long as what lies waiting takes little of page tables. */
static uint32_t find_freed(const struct arena *arena, size_t size, size_t alignment,
                           enum taking taking) {
  enum { WAITING_MOST = 1024 };
  uint32_t granules = arena_granules_for(arena, page_up(size));
  uint32_t same = taking == TAKE_SAME ? find_same(arena, granules, size, alignment) : 0;
  bool waits = arena->freed < WAITING_MOST && region_limit == SIZE_MAX;
  if (same || (taking == TAKE_SAME && waits)) return same;
  return find_near(arena, granules, size, alignment, taking == TAKE_KEPT);
}

/* Kept pages */

static void hold(const struct arena *arena, uint32_t before, uint32_t now) {
  usage_hold(arena->usage, (uint64_t)before << os_page_shift, (uint64_t)now << os_page_shift);
}

void arena_hold(uint32_t granule, uint32_t pages) {
  struct granule *block = &region.table[granule];
  hold(block_arena(granule), block->counted, pages);
  block->counted = pages;
}

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

/* Strikes a block off the table; returns how many of its pages were kept, which are still counted
 * as held. */
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

void arena_count_taken(struct arena *arena, uint32_t index) {
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
    hold(arena, leave_kept(arena, granule), 0);
  }
}

/* Where address space has a limit, little of it is idle: a heap has up to 24 arenas. */
static bool is_idle_for_long(const struct arena *arena, const struct run *run, uint32_t now) {
  enum { LIMIT_SHARE = 128 };
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
  region.table[granule].counted = *kept = leave_kept(arena, granule);
  atomic_store_explicit(&region.table[granule].state, GRANULE_BUSY, memory_order_relaxed);
  arena_count_taken(arena, region.table[granule].run);
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

/* A smaller block in a solo run leaves its front to a guard made of markers, rather than have it
 * unmapped, and mapped again for the next; unless that is long, or the address space is wanted, or
 * the run is mapped anew for another tag. */
static bool keeps_front(const struct arena *arena, const struct run *run, uintptr_t start) {
  return start >= run->start && (start - run->start) >> os_page_shift <= RUN_FRONT_MOST &&
         !run->lean && !run->refpage->tagged && !os_locking() &&
         os_uses(arena->options, OS_GUARD_REGIONS);
}

RARE static bool move_front(struct arena *arena, struct run *run, uint32_t granule,
                            uintptr_t start) {
  uintptr_t before = block_pages(granule);
  if (run_is_solo(run) && !keeps_front(arena, run, start))
    return guard_remove(run, run->start, before) && run_fit(run, start, arena_guard_bytes(arena));
  if (start > before) arena_install_guard(arena, run, before, start);
  return start >= before || guard_remove(run, start, before);
}

/* Moves the guards of a freed block so that they fit another in its place; those that it left are
 * where they are to be where this one has as many pages. */
static uint32_t fit(struct arena *arena, uint32_t granule, size_t size, size_t alignment) {
  uint32_t index = region.table[granule].run, counted = region.table[granule].counted;
  struct run *run = run_at(index);
  uintptr_t end = end_for_block(arena, run, granule);
  uintptr_t address = arena_address_before(end, size, alignment), start = page_down(address);
  if (!guard_remove(run, block_end(granule), end)) return 0;
  /* Before the granule is given back, and another thread's block may begin there. */
  atomic_store_explicit(&region.table[granule].state, GRANULE_NONE, memory_order_relaxed);
  if (start != block_pages(granule) && !move_front(arena, run, granule, start)) return 0;
  granule = block_place(index, address, size);
  region.table[granule].counted = counted;
  return granule;
}

/* Where the kernel refuses, a slot is freed again, and a run, which may be half mapped now, is
 * released. */
static uint32_t fit_or_give_up(struct arena *arena, uint32_t granule, size_t size,
                               size_t alignment) {
  uint32_t fitted = fit(arena, granule, size, alignment);
  if (fitted)
    stats_add(arena->stats, STAT_BLOCKS_REUSED, 1);
  else
    (run_is_solo(block_run(granule)) ? arena_retire : arena_give)(arena, granule, 0);
  return fitted;
}

uint32_t arena_take_freed(struct arena *arena, size_t size, size_t alignment, enum taking taking,
                          uint32_t *kept) {
  *kept = 0;
  arena->frees_in_a_row = 0;
  lock_take(&arena->lock);
  uint32_t granule = find_freed(arena, size, alignment, taking);
  if (granule) take_off(arena, granule, kept);
  lock_drop(&arena->lock);
  if (!granule) return 0;
  uintptr_t start = block_pages(granule);
  granule = fit_or_give_up(arena, granule, size, alignment);
  if (!granule || block_pages(granule) != start) *kept = 0;
  return granule;
}

void arena_give(struct arena *arena, uint32_t granule, uint16_t kept) {
  uint32_t victims[VICTIMS], index = region.table[granule].run;
  struct run *run = run_at(index);
  arena_hold(granule, kept ? arena->kept[kept].pages : 0);
  lock_take(&arena->lock);
  enter_kept(arena, granule, kept);
  arena_push(arena, granule);
  if (--run->live == 0) make_idle(arena, index);
  unsigned count = detach_due(arena, victims, false);
  lock_drop(&arena->lock);
  release_runs(arena, victims, count);
}

void arena_retire(struct arena *arena, uint32_t granule, uint16_t kept) {
  uint32_t index = region.table[granule].run;
  arena_hold(granule, 0);
  lock_take(&arena->lock);
  enter_kept(arena, granule, kept);
  leave_kept(arena, granule);
  lock_drop(&arena->lock);
  arena_release_run(arena, index);
}
