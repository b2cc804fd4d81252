/* The region: one range of address space that holds every block of every heap, so that "is this
 * pointer ours" is one compare. It is handed out in ranges of granules (16 pages each), and has a
 * table with one record a granule, outside the blocks.
 *
 * It lies where nothing else comes to lie, and is not reserved: a run's part of it is while the run
 * is there. So a limit of the address space, whenever it is set, counts what blocks need, and no
 * more. Where there is no such place, one range is reserved in advance.
 *
 * At most one block starts in a granule, so the record of the granule that holds a block's address
 * is that block's. Free ranges keep their size in the records at both their ends (boundary tags).
 */
#ifndef PATALLOC_REGION_H
#define PATALLOC_REGION_H

#include "os/mte.h"
#include "os/os.h"
#include "pages/table.h"

#include <stdatomic.h>

enum { GRANULE_PAGES = 16 };

enum granule_state {
  GRANULE_NONE,        /* no block starts here */
  GRANULE_LIVE,        /* a block that the program has */
  GRANULE_BUSY,        /* a block that a thread is freeing or resizing */
  GRANULE_FREE,        /* a block that was freed and can be handed out again */
  GRANULE_QUARANTINED, /* a block that was freed and can't be yet */
  GRANULE_RANGE,       /* an end of a free range */
  GRANULE_FOREIGN,     /* the first of a range in which a mapping of another's was found */
};

/* `state` is what threads race for: a block changes hands by LIVE -> BUSY, and the winner alone
 * touches the rest. In the state FREE the rest belongs to the arena's lock, in QUARANTINED to the
 * quarantine's, in RANGE to the region's. */
enum { GRANULE_ALTERED = UINT16_MAX };
struct granule {
  _Atomic uint32_t state;
  uint32_t run;    /* the run that the block lies in */
  uint64_t size;   /* bytes requested; of a free range: granules */
  uint32_t offset; /* of the block's address from the granule's */
  uint8_t fill;    /* enum block_fill */
  uint8_t tag;     /* of the last pointer to it that was handed out; 0 without tags */
  uint16_t kept;   /* of a free block with pages kept: its place in arena->kept, from 1; of a live
                      one GRANULE_ALTERED, if its mappings are not as they were made */
  uint32_t next;   /* in a list of free blocks or ranges; 0 ends it */
  union {
    uint32_t prev;
    uint32_t counted; /* of a block that is not in such a list: pages in usage.held */
  };
};
_Static_assert(sizeof(struct granule) == 32, "the table is 1/2048 of the region at 4 KiB pages");

struct region {
  _Atomic size_t size; /* bytes; 0 until all below is set (release, acquire) */
  _Atomic uintptr_t base;
  bool reserved;  /* whether all of it is, in advance */
  unsigned shift; /* log2 of the bytes in a granule */
  struct granule *table;
};
extern struct region region;
extern struct table region_records; /* at region.table */

/* Chooses the region, of at most this size. Idempotent; any thread may call it while others ask
 * region_holds. False where there is no address space worth having. */
bool region_init(size_t size);

/* A place for a table of at most so many records, `step` of which come at a time; once there is a
 * region. False where there is none. */
enum region_table {
  TABLE_GRANULES,
  TABLE_RUNS,
  TABLE_HISTORY,
  TABLE_CHUNKS,
  TABLE_SLOTS,
  TEMPLATES,
  REGION_PARTS
};
bool region_place_table(enum region_table which, struct table *table, size_t record, size_t most,
                        uint32_t step);

static inline size_t region_size(void) {
  return atomic_load_explicit(&region.size, memory_order_acquire);
}
static inline uintptr_t region_base(void) {
  return atomic_load_explicit(&region.base, memory_order_relaxed);
}
static inline bool region_holds(const void *pointer) {
  size_t size = region_size(); /* first: with it the base is known */
  return mte_untag((uintptr_t)pointer) - region_base() < size;
}
static inline uint32_t granule_of(uintptr_t address) {
  return (uint32_t)((address - region_base()) >> region.shift);
}
static inline uintptr_t granule_address(uint32_t granule) {
  return region_base() + ((uintptr_t)granule << region.shift);
}
/* The functions below may be called by any threads at the same time. */

/* Reserves address space for a template, apart from blocks, which might be overrun. It is alone in
 * the ranges that pages of page table entries cover: those that a neighbour had made would be made
 * again at every duplicate of the template, by mremap(2), and walked at every reset. 0 with errno;
 * os_drop ends it. */
uintptr_t region_take_apart(size_t size);

/* Takes `count` granules such that granule `first + lead` lies at a multiple of `alignment` bytes
 * (0: anywhere). Returns the first, or 0 with ENOMEM. No system call under the lock. */
uint32_t region_take(uint32_t count, uint32_t lead, size_t alignment);

/* Takes the `count` granules that start at `first`, if they are free. */
RARE bool region_take_at(uint32_t first, uint32_t count);

/* Gives granules back; nothing of ours may be mapped there, nor hold them. */
void region_give(uint32_t first, uint32_t count);

/* Reserves what a run is to be mapped over: so nobody else can come to lie there. False with errno,
 * EEXIST where somebody does. And unmaps it, with all that is mapped there. */
bool region_hold(uintptr_t from, uintptr_t to);
bool region_drop(uintptr_t from, uintptr_t to);

/* Never hands granules out again that were taken: another mapping lies there. */
void region_lose(uint32_t first);

/* Bytes of address space that the user allows this process, as of the last call of
 * region_ask_limit; SIZE_MAX for no limit. Where there is one, no more than what blocks need is to
 * be mapped. */
extern _Atomic size_t region_limit;
bool region_ask_limit(void); /* whether there is one */

/* What a table that is mostly empty may take of it: `most`, or halves of that down to `least`. */
size_t region_afford(size_t most, size_t least);

/* Whether tables lie there; false where they are not apart from others' memory. */
RARE bool region_has_table(uintptr_t address);

/* The nearest granules before and after these that are in use; 0 for none. */
RARE void region_beside(uint32_t first, uint32_t count, uint32_t *before, uint32_t *after);

/* Whether the record of this granule can be read: it has been handed out at some time.
 * Async-signal-safe. */
bool region_known(uint32_t granule);

RARE void region_lock(void); /* around fork */
RARE void region_unlock(void);

#endif
