/* Large blocks whose mappings the program has changed: by mprotect(2), mlock(2), or advice that
 * stays (madvise(2)). The next block in their place is not to have it. And advice that means
 * anonymous memory, which they are not. */
#ifndef PATALLOC_ALTERED_H
#define PATALLOC_ALTERED_H

#include "heap/heap.h"

/* Notes that mappings at this address have changed, if a live block has it. Async-signal-safe, as
 * the others. */
RARE void altered_note(const void *address);

static inline bool altered_is(uint32_t granule) {
  return region.table[granule].kept == GRANULE_ALTERED;
}

/* Maps a BUSY block's pages anew; false where that can't be done: it is for arena_retire. */
RARE bool altered_restore(uint32_t granule);

/* Whether advice to use huge pages (NumPy's, from 4 MiB on) changes nothing for the block there: a
 * file's private pages are never huge, or the heap has advised so itself. */
RARE bool altered_ignores_huge_pages(uintptr_t address);

/* Has whole pages of a block be anonymous memory, with their content or of zeros. False where they
 * are none of a block's that comes from a refpage. */
RARE bool altered_to_anonymous(uintptr_t from, uintptr_t to, bool zero);

#endif
