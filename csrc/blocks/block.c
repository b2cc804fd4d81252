/* Blocks (see block.h). */
#include "blocks/block.h"

#include "os/memory.h"

uint32_t block_place(uint32_t run, uintptr_t address, size_t size) {
  uint32_t granule = granule_of(address);
  struct granule *block = &region.table[granule];
  block->run = run;
  block->kept = 0;
  block->size = size;
  block->offset = (uint32_t)(address - granule_address(granule));
  atomic_store_explicit(&block->state, GRANULE_BUSY, memory_order_relaxed);
  return granule;
}

/* Walks back to the granule where a block starts, and no further than its run. */
uint32_t block_find(uintptr_t pointer) {
  uintptr_t address = mte_untag(pointer);
  if (!region_holds((void *)address)) return 0;
  for (uint32_t granule = granule_of(address); granule && region_known(granule); granule--) {
    enum granule_state state = block_state(granule);
    if (state == GRANULE_RANGE) return 0;
    if (state == GRANULE_NONE || block_address(granule) > address) continue;
    const struct run *run = block_run(granule);
    return granule_of(address) < run->first + run->granules ? granule : 0;
  }
  return 0;
}

static bool is_in_a_run(uintptr_t address) {
  for (uint32_t granule = granule_of(address); granule && region_known(granule); granule--) {
    if (block_exists(granule)) {
      const struct run *run = block_run(granule);
      return granule_of(address) < run->first + run->granules;
    }
    if (block_state(granule) != GRANULE_NONE) return false;
  }
  return false;
}

bool block_is_foreign(const void *pointer) {
  uintptr_t address = mte_untag((uintptr_t)pointer);
  return !is_in_a_run(address) && os_is_readable(address);
}
