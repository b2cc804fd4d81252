/* The quarantine: freed blocks that nobody may access until later ones push them out, the oldest
 * first (on_free=quarantine). They take address space, and no memory but some page tables. */
#ifndef PATALLOC_QUARANTINE_H
#define PATALLOC_QUARANTINE_H

#include "base/lock.h"
#include "blocks/block.h"

struct quarantine {
  struct lock lock;     /* guards the list and the counts */
  uint32_t first, last; /* the oldest and the youngest block: a list through next */
  size_t blocks;
  _Atomic uint64_t bytes; /* of address space */
};

/* Makes a BUSY block inaccessible and takes it in. False where that can't be done: it is as it was.
 * Any threads may do so at the same time. */
bool quarantine_take(struct quarantine *quarantine, uint32_t granule,
                     const struct options *options);

/* Takes the oldest block out, as long as there are too many: BUSY, and with its pages reset or, for
 * one with a run of its own, unmapped. 0 for none. Likewise. */
uint32_t quarantine_release(struct quarantine *quarantine, const struct options *options);

#endif
