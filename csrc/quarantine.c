/* The quarantine (see quarantine.h). A block with a run of its own is unmapped; one that shares a
 * run becomes one guard with those around it. */
#include "quarantine.h"

#include "guard.h"
#include "heap.h"

static struct run *run_of(uint32_t granule) {
  return run_at(region.table[granule].run);
}

static size_t bytes_of(uint32_t granule) {
  return block_end(granule) - block_pages(granule);
}

static bool shut(struct patalloc_heap *heap, uint32_t granule) {
  struct run *run = run_of(granule);
  if (run_is_solo(run)) return run_unmap(run);
  return guard_shut(run, block_pages(granule), block_end(granule), &heap->options);
}

static bool reopen(uint32_t granule) {
  struct run *run = run_of(granule);
  return run_is_solo(run) || guard_remove(run, block_pages(granule), block_end(granule));
}

bool quarantine_take(struct patalloc_heap *heap, uint32_t granule) {
  struct quarantine *quarantine = &heap->quarantine;
  if (!shut(heap, granule)) return false;
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

static bool is_full(const struct patalloc_heap *heap) {
  const struct quarantine *quarantine = &heap->quarantine;
  size_t most = heap->options.quarantine_size;
  if (most > region_size() / 4) most = region_size() / 4;
  return quarantine->blocks > heap->options.quarantine_blocks || quarantine->bytes > most;
}

static uint32_t take_oldest(struct patalloc_heap *heap) {
  struct quarantine *quarantine = &heap->quarantine;
  lock_take(&quarantine->lock);
  uint32_t oldest = is_full(heap) ? quarantine->first : 0;
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
uint32_t quarantine_release(struct patalloc_heap *heap) {
  uint32_t oldest;
  do oldest = take_oldest(heap);
  while (oldest && !reopen(oldest));
  if (oldest)
    atomic_store_explicit(&region.table[oldest].state, GRANULE_BUSY, memory_order_relaxed);
  return oldest;
}
