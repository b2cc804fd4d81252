/* Chunks: address space for small blocks with a guard each. A chunk is 256 slots, a slot a page and
 * a guard page behind it: at 4 KiB pages the 2 MiB that one page table covers, whose guards are
 * placed by one call, and which moves, with all its pages, by one mremap(2) of that table. Where
 * blocks are to be out of reach at once, or there are no guard regions, its guards are pages that
 * are missing (mover.h), if that can be. Without either it is protected, but for the pages of
 * blocks, as long as there are mappings to spare; and does not move.
 *
 * Of a chunk in which some blocks live on, long runs of dead ones move likewise, a call each. What
 * they leave is a hole; where they come, page protection is around them.
 *
 * Chunks are handed out in order, and none twice before all have been (2^31 blocks, by default):
 * what was freed in one stays unreachable. They lie apart from the region, in a part of the address
 * space where nobody else chooses places. Where a chunk is no more, nothing is mapped. */
#ifndef PATALLOC_CHUNK_H
#define PATALLOC_CHUNK_H

#include "base/lock.h"
#include "os/os.h"

enum { CHUNK_LOG = 8, CHUNK_SLOTS = 1 << CHUNK_LOG };

enum chunk_state { CHUNK_NONE, CHUNK_OPEN, CHUNK_FULL, CHUNK_GONE, CHUNK_FORGOTTEN };

/* What its guards are: markers; page protection; missing pages (mover.h). */
enum chunk_guards { GUARDS_MARKED, GUARDS_PROTECTED, GUARDS_MISSING };

struct chunk {
  struct lock lock;              /* guards what its pages are, but for those of new slots */
  _Atomic uint32_t state;        /* enum chunk_state */
  uint8_t guards;                /* enum chunk_guards */
  uint8_t worn;                  /* runs of slots that it, and those its pages are of, came in */
  uint16_t pieces;               /* mappings that it takes more than one */
  _Atomic uint32_t dead, wanted; /* blocks that were freed; that are to be, once it is full */
  uint32_t made;                 /* slots that have been made */
  _Atomic uint64_t pages[CHUNK_SLOTS / 64]; /* which of them have a page */
};

extern struct chunk *chunk_table;
extern _Atomic uintptr_t chunk_base; /* 0: there are none */
extern uintptr_t chunk_bytes;        /* of them all */

/* Finds a place for them. Idempotent; any thread may call it. False where there is none. */
struct options;
bool chunk_init(const struct options *options);

static inline bool chunk_holds(uintptr_t address) {
  uintptr_t base = atomic_load_explicit(&chunk_base, memory_order_acquire);
  return base && address - base < chunk_bytes;
}
static inline size_t chunk_slot_bytes(void) {
  return (size_t)2 << os_page_shift;
}
static inline uintptr_t chunk_slot_address(uint32_t slot) {
  return chunk_base + ((uintptr_t)slot << (os_page_shift + 1));
}
static inline uint32_t chunk_slot_of(uintptr_t address) {
  return (uint32_t)((address - chunk_base) >> (os_page_shift + 1));
}
static inline struct chunk *chunk_of(uint32_t slot) {
  return &chunk_table[slot >> CHUNK_LOG];
}

/* Whether the slot has a page that can be accessed. */
static inline bool chunk_has_page(uint32_t slot) {
  return chunk_of(slot)->pages[slot % CHUNK_SLOTS / 64] >> slot % 64 & 1;
}

/* Whether its guards are there: they may have gone with the mover. */
bool chunk_is_guarded(uint32_t number);

/* One more than the last one's number; all up to there have a record. */
uint32_t chunk_count(void);

/* A chunk that is OPEN, of guards alone; 0 with errno. */
uint32_t chunk_new(const struct options *options);

/* Gives pages to the next `count` slots of an OPEN one, which its owner alone does. */
bool chunk_make(uint32_t number, unsigned count, const struct options *options);

/* Of a FULL chunk, with its lock: its pages, at the slots that they are at, become an OPEN one's,
 * which is returned. 0 where it has too few, or that can't be; chunk_end is for it then. */
uint32_t chunk_move(uint32_t number);
void chunk_end(uint32_t number);

/* Of one that is GONE, of which nothing is known any more: its addresses may be had again, when
 * there are no others. */
void chunk_forget(uint32_t number);

/* How many there may be. */
static inline uint32_t chunk_most(void) {
  return (uint32_t)(chunk_bytes >> (os_page_shift + 1 + CHUNK_LOG));
}

/* Makes slots of one chunk inaccessible, with its lock; they are in order. Their pages may become
 * those of the next slots of an OPEN one, whose owner calls; 0 for none. Or, if there may be `more`
 * chunks, those of another OPEN one, which is returned. */
uint32_t chunk_shut(const uint32_t *slots, unsigned count, uint32_t open, bool more,
                    const struct options *options);

/* In the child of a fork, before there are threads. */
RARE void chunk_restart(void);

#endif
