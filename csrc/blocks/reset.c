/* Resetting freed blocks' pages in turn (see reset.h). */
#include "blocks/reset.h"

#include "os/features.h"
#include "os/memory.h"
#include "os/process.h"

enum { BATCH = 16, WAITING_MOST = 32 };

static _Atomic bool taken; /* whether a thread resets pages */

static bool take_turn(void) {
  return !atomic_load_explicit(&taken, memory_order_relaxed) &&
         !atomic_exchange_explicit(&taken, true, memory_order_acquire);
}

static void end_turn(void) {
  atomic_store_explicit(&taken, false, memory_order_release);
}

void reset_restart(void) {
  end_turn();
}

static struct os_range range_of(struct arena *arena, uint32_t granule) {
  uint32_t kept = region.table[granule].kept;
  uintptr_t start = block_pages(granule);
  if (kept) start += (uintptr_t)arena->kept[kept].pages << os_page_shift;
  return (struct os_range){start, block_end(granule) - start};
}

static void reset_all(struct arena *arena, const uint32_t *granules, unsigned count) {
  struct os_range ranges[BATCH];
  const struct options *options = arena->options;
  for (unsigned i = 0; i < count; i++) ranges[i] = range_of(arena, granules[i]);
  bool done = count > 1 && os_uses(options, OS_PROCESS_MADVISE) && os_reset_all(ranges, count);
  for (unsigned i = 0; i < count; i++) {
    struct granule *block = &region.table[granules[i]];
    struct run *run = block_run(granules[i]);
    if (!done) run_reset(run, ranges[i].start, ranges[i].size, options);
    if (run_is_outgrown(run, false))
      arena_retire(arena, granules[i], block->kept);
    else
      arena_give(arena, granules[i], block->kept);
  }
}

static void reset_waiting(struct arena *arena) {
  uint32_t list = atomic_exchange_explicit(&arena->waiting, 0, memory_order_acquire);
  while (list) {
    uint32_t granules[BATCH];
    unsigned count = 0;
    for (; list && count < BATCH; list = region.table[list].next) granules[count++] = list;
    arena->waiters -= count;
    reset_all(arena, granules, count);
  }
}

/* Not for ever: a thread of a higher priority may keep the one whose turn it is from running. */
static bool wait_for_turn(void) {
  enum { TRIES = 200 };
  for (int i = 0; i < TRIES; i++) {
    if (take_turn()) return true;
    os_yield();
  }
  return false;
}

void reset_settle(struct arena *arena) {
  if (!arena->waiting) return;
  bool in_turn = wait_for_turn();
  reset_waiting(arena);
  if (in_turn) end_turn();
}

static void enqueue(struct arena *arena, uint32_t granule) {
  uint32_t first = arena->waiting;
  do region.table[granule].next = first;
  while (!atomic_compare_exchange_weak_explicit(&arena->waiting, &first, granule,
                                                memory_order_release, memory_order_relaxed));
  arena->waiters++;
}

/* Whether to leave what is waiting for now: until a batch is full, if there was no turn to be had
 * the last time; and while the program does nothing but free small blocks. */
static bool leaves_it(struct arena *arena, const struct run *run) {
  bool nobody_asks = !run_is_solo(run) && arena->frees_in_a_row++ >= BATCH;
  return arena->waiters < (nobody_asks ? BATCH : arena->patience);
}

void reset_and_give(uint32_t granule, uint16_t kept, enum reset_extent extent) {
  const struct run *run = run_at(region.table[granule].run);
  struct arena *arena = run->arena;
  region.table[granule].kept = kept;
  if (extent == RESET_MANY) return reset_all(arena, &granule, 1);
  enqueue(arena, granule);
  bool may_wait = extent == RESET_FEW && arena->waiters < WAITING_MOST;
  if (may_wait && leaves_it(arena, run)) return;
  bool in_turn = take_turn();
  arena->patience = in_turn ? arena->patience / 2 : BATCH;
  if (!in_turn && may_wait) return;
  if (!in_turn) in_turn = wait_for_turn();
  reset_waiting(arena);
  if (in_turn) end_turn();
}
