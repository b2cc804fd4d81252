/* Blocks (see block.h). */
#include "blocks/block.h"

#include "os/memory.h"

uint32_t block_place(uint32_t run, uintptr_t address, size_t size) {
  uint32_t granule = granule_of(address);
  struct granule *block = &region.table[granule];
  block->run = run;
  block->kept = 0;
  block->size = size;
  block->counted = 0;
  block->offset = (uint32_t)(address - granule_address(granule));
  atomic_store_explicit(&block->state, GRANULE_BUSY, memory_order_relaxed);
  return granule;
}

/* The granule where a block starts, the last up to this one, if no end of a free or foreign range
 * lies between; 0 for none. */
static uint32_t start_up_to(uint32_t granule) {
  for (; granule && region_known(granule); granule--)
    if (block_state(granule) != GRANULE_NONE) return block_exists(granule) ? granule : 0;
  return 0;
}

static bool is_in_run_of(uint32_t block, uintptr_t address) {
  const struct run *run = block_run(block);
  return granule_of(address) < run->first + run->granules;
}

/* One that starts behind the address, in its granule, is not it. */
uint32_t block_find(uintptr_t pointer) {
  uintptr_t address = mte_untag(pointer);
  if (!region_holds((void *)address)) return 0;
  uint32_t block = start_up_to(granule_of(address));
  while (block && block_address(block) > address) block = start_up_to(block - 1);
  return block && is_in_run_of(block, address) ? block : 0;
}

/* What a run does not map others may have: its guards, and room to grow. */
bool block_is_foreign(const void *pointer) {
  uintptr_t address = mte_untag((uintptr_t)pointer);
  uint32_t block = start_up_to(granule_of(address));
  const struct run *run = block ? block_run(block) : NULL;
  bool ours = run && address >= run->start && address < run->end;
  return !ours && os_is_readable(address);
}
