/* Tags (see tag.h). */
#include "blocks/tag.h"

#include "os/tags.h"

static uintptr_t whole(uintptr_t address) {
  return (address + MTE_GRANULE - 1) & ~(uintptr_t)(MTE_GRANULE - 1);
}

static uintptr_t used_end(uint32_t granule) {
  return whole(block_address(granule) + region.table[granule].size);
}

/* Choosing */

unsigned tag_choose(uint16_t excluded) {
  excluded |= 1;
  unsigned tag = mte_random(excluded);
  while (excluded >> tag & 1) tag = (tag + 1) % MTE_TAGS;
  return tag;
}

static uint16_t bit_of(uint32_t granule) {
  return (uint16_t)(1u << region.table[granule].tag);
}

/* Of the first block from a granule on; at a run's end there may be less than a slot without one.
 */
static uint16_t bits_from(const struct run *run, uint32_t granule, int step) {
  if (run_is_solo(run)) return (uint16_t)(1u << run->refpage->tag | bit_of(granule_of(run->start)));
  for (uint32_t left = 2 * run->slot; left && granule - run->first < run->granules;
       left--, granule += (uint32_t)step)
    if (block_exists(granule)) return bit_of(granule);
  return 0;
}

static uint16_t bits_at_end(uint32_t granule, int step) {
  const struct run *run = run_with_end(granule);
  return run ? bits_from(run, granule, step) : 0;
}

/* Of the blocks before and after, which may be in other slots of the same run. */
static uint16_t bits_beside(uint32_t granule) {
  const struct run *run = block_run(granule);
  uint32_t size = run_is_solo(run) ? run->granules : run->slot;
  uint32_t first = granule - (granule - run->first) % size, before, after;
  region_beside(run->first, run->granules, &before, &after);
  bool is_first = first == run->first, is_last = first + size + size > run->first + run->granules;
  return (uint16_t)((is_first ? bits_at_end(before, -1) : bits_from(run, first - 1, -1)) |
                    (is_last ? bits_at_end(after, 1) : bits_from(run, first + size, 1)));
}

/* Of blocks whose addresses this one covers: as many as leave a choice, as a large one may cover so
 * many that each tag was there. */
static uint16_t bits_before(uint32_t granule, uint16_t excluded) {
  enum { MOST = 64, ALL = 0xffff };
  uint32_t last = granule_of(block_end(granule) - 1);
  for (uint32_t at = granule; at <= last && at - granule < MOST; at++)
    if ((excluded | bit_of(at) | 1) != ALL) excluded |= bit_of(at);
  return excluded;
}

bool tag_clashes(uint32_t granule, unsigned tag) {
  return (bits_beside(granule) | bit_of(granule)) >> tag & 1;
}

static uint16_t excluded_from(const struct options *options, uint32_t granule) {
  if (options->tag >= 0) return (uint16_t) ~(1u << options->tag);
  return bits_before(granule, bits_beside(granule) | bit_of(granule));
}

/* A fixed tag may be 0, which is never chosen by chance. */
static unsigned choose_for(const struct options *options, uint16_t excluded) {
  return options->tag >= 0 ? (unsigned)options->tag : tag_choose(excluded);
}

/* Storing */

static void tag_edges(uint32_t granule) {
  unsigned other = region.table[granule].tag ? 0 : MTE_TAGS - 1;
  mte_tag(block_pages(granule), block_address(granule), other);
  mte_tag(used_end(granule), block_end(granule), other);
}

static bool change_tag(struct run *run, unsigned tag) {
  struct refpage *refpage = refpage_with_tag(run->refpage, tag);
  return refpage && run_change_refpage(run, refpage);
}

bool tag_choose_and_store(const struct options *options, uint32_t granule) {
  struct granule *block = &region.table[granule];
  struct run *run = block_run(granule);
  uint16_t excluded = excluded_from(options, granule);
  if (refpage_comes_tagged(run->refpage)) {
    bool fits = !(excluded >> run->refpage->tag & 1);
    if (!fits && !change_tag(run, choose_for(options, excluded))) return false;
    block->tag = run->refpage->tag;
  } else {
    block->tag = (uint8_t)choose_for(options, excluded);
    mte_tag(block_address(granule), used_end(granule), block->tag);
  }
  tag_edges(granule);
  return true;
}

bool tag_drop(uint32_t granule) {
  struct run *run = block_run(granule);
  if (!refpage_comes_tagged(run->refpage)) return true;
  return change_tag(run, tag_choose(bits_beside(granule) | bit_of(granule)));
}

/* The old last page may have had another tag beside the block. */
void tag_store_resized(uint32_t granule, size_t before) {
  const struct refpage *refpage = block_run(granule)->refpage;
  uintptr_t from = whole(block_address(granule) + before), to = used_end(granule);
  if (refpage_comes_tagged(refpage) && to > page_up(from)) to = page_up(from);
  mte_tag(from, to, region.table[granule].tag);
  tag_edges(granule);
}

size_t tag_usable_size(uint32_t granule) {
  uintptr_t end = block_run(granule)->refpage->tagged ? used_end(granule) : block_end(granule);
  return end - block_address(granule);
}

void tag_check_thread(const struct options *options) {
  static _Thread_local bool done __attribute__((tls_model("initial-exec")));
  if (!done) done = os_check_tags((enum tag_check)options->tag_check);
}
