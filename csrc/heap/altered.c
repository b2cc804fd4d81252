/* Large blocks whose mappings the program has changed (see altered.h). */
#include "heap/altered.h"

#include "os/memory.h"

#include <string.h>

static uint32_t live_block_at(uintptr_t address) {
  uint32_t granule = region_holds((const void *)address) ? block_find(address) : 0;
  return granule && block_state(granule) == GRANULE_LIVE ? granule : 0;
}

void altered_note(const void *address) {
  uint32_t granule = live_block_at((uintptr_t)address);
  if (granule) region.table[granule].kept = GRANULE_ALTERED;
}

bool altered_restore(uint32_t granule) {
  region.table[granule].kept = 0;
  return run_map_again(block_run(granule), block_pages(granule), block_end(granule));
}

bool altered_ignores_huge_pages(uintptr_t address) {
  uint32_t granule = live_block_at(address);
  if (!granule) return false;
  size_t least = block_arena(granule)->huge_page;
  bool advised = least && region.table[granule].size >= least;
  enum refpage_kind kind = block_run(granule)->refpage->kind;
  return advised || kind == REFPAGE_MEMFD || kind == REFPAGE_DESCRIPTOR;
}

bool altered_to_anonymous(uintptr_t from, uintptr_t to, bool zero) {
  uint32_t granule = live_block_at(from);
  if (!granule || from < block_pages(granule) || to > block_end(granule)) return false;
  if (block_run(granule)->refpage->kind == REFPAGE_ZERO) return false;
  size_t size = to - from;
  char *content = zero ? NULL : os_map(size);
  if (content) memcpy(content, (const void *)from, size);
  bool done = (zero || content) && os_map_zero(from, size, false);
  if (done) region.table[granule].kept = GRANULE_ALTERED;
  if (done && content) memcpy((void *)from, content, size);
  if (content) os_unmap(content, size);
  return done;
}
