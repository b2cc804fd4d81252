/* The quarantine (see quarantine.h). A block with a run of its own is unmapped; one that shares a
 * run becomes one guard with those around it. */
#include "blocks/quarantine.h"

#include "blocks/arena.h"
#include "pages/guard.h"

static size_t bytes_of(uint32_t granule) {
  return block_end(granule) - block_pages(granule);
}

static bool shut(uint32_t granule, const struct options *options) {
  struct run *run = block_run(granule);
  if (run_is_solo(run)) return run_unmap(run);
  return guard_shut(run, block_pages(granule), block_end(granule), options);
}

static bool reopen(uint32_t granule) {
  struct run *run = block_run(granule);
  return run_is_solo(run) || guard_remove(run, block_pages(granule), block_end(granule));
}

bool quarantine_take(struct quarantine *quarantine, uint32_t granule,
                     const struct options *options) {
  if (!shut(granule, options)) return false;
  arena_hold(granule, 0);
  region.table[granule].next = 0;
  atomic_store_explicit(&region.table[granule].state, GRANULE_QUARANTINED, memory_order_release);
  lock_take(&quarantine->lock);
  if (quarantine->last)
    region.table[quarantine->last].next = granule;
  else
    quarantine->first = granule;
  quarantine->last = granule;
  quarantine->blocks++;
  quarantine->bytes += bytes_of(granule);
  lock_drop(&quarantine->lock);
  return true;
}

/* With one block, where there is to be no quarantine any more. That of guarded small blocks has
 * the same limits. */
static bool is_full(const struct quarantine *quarantine, const struct options *options) {
  bool due = options->on_free == ON_FREE_QUARANTINE || options_guard_small(options);
  if (!due) return quarantine->blocks;
  size_t most = options->quarantine_size;
  if (most > region_size() / 4) most = region_size() / 4;
  return quarantine->blocks > options->quarantine_blocks || quarantine->bytes > most;
}

static uint32_t take_oldest(struct quarantine *quarantine, const struct options *options) {
  lock_take(&quarantine->lock);
  uint32_t oldest = is_full(quarantine, options) ? quarantine->first : 0;
  if (oldest) {
    quarantine->first = region.table[oldest].next;
    if (!quarantine->first) quarantine->last = 0;
    quarantine->blocks--;
    quarantine->bytes -= bytes_of(oldest);
  }
  lock_drop(&quarantine->lock);
  return oldest;
}

/* Where the kernel refuses, a block stays inaccessible for good. */
uint32_t quarantine_release(struct quarantine *quarantine, const struct options *options) {
  uint32_t oldest;
  do oldest = take_oldest(quarantine, options);
  while (oldest && !reopen(oldest));
  if (oldest)
    atomic_store_explicit(&region.table[oldest].state, GRANULE_BUSY, memory_order_relaxed);
  return oldest;
}
