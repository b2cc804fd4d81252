/* Tags: which of Arm's memory tags a block has. A block's memory and the pointers to it have a tag
 * that its neighbours don't have, nor had the last block at its address, so that most overflows and
 * stale pointers fault. What lies beside the block in its first and last page has another one.
 *
 * Pages come tagged from a refpage, one for each tag and pattern, so nothing is stored but in the
 * block's first and last page; free maps the pages from another tag's refpage. Where there is no
 * tag refpage, tags are stored all over the block, and go as its pages are reset: to tag 0, which
 * no pointer has.
 *
 * On machines without memory tags no heap is tagged, and no tag is ever other than 0. */
#ifndef PATALLOC_TAG_H
#define PATALLOC_TAG_H

#include "base/option.h"
#include "blocks/block.h"

/* A tag by chance, other than 0 and those excluded (a bit each). */
unsigned tag_choose(uint16_t excluded);

/* Gives a BUSY block that is to be handed out its tag. False with errno where its pages can't be
 * mapped: it is fit for arena_retire only. */
bool tag_choose_and_store(const struct options *options, uint32_t granule);
static inline bool tag_take(const struct options *options, uint32_t granule) {
  if (block_run(granule)->refpage->tagged) return tag_choose_and_store(options, granule);
  region.table[granule].tag = 0;
  return true;
}

/* Gives a BUSY block that was freed pages of another tag, unwritten, if they come tagged. False as
 * above. */
bool tag_drop(uint32_t granule);

/* Whether a block just placed must not have this tag. */
bool tag_clashes(uint32_t granule, unsigned tag);

/* After a resize: tags what the block has grown by, and what lies beside it. */
void tag_store_resized(uint32_t granule, size_t before);
static inline void tag_resized(uint32_t granule, size_t before) {
  if (block_run(granule)->refpage->tagged) tag_store_resized(granule, before);
}

/* Has accesses of this thread checked, and of those that it makes. */
void tag_check_thread(const struct options *options);

/* Bytes that can be used from a block's address on. */
size_t tag_usable_size(uint32_t granule);

#endif
