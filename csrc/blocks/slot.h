/* Small blocks in slots (pages/chunk.h), each ended at its guard. Blocks are handed out in order of
 * address. One that was freed waits, with its page, for the others of its chunk: when all are dead
 * the chunk's pages are moved to new addresses at once. Of those that have waited for some frees
 * the pages are dropped, and become guards.
 *
 * A few threads share a feed: the chunk from which blocks are handed out, and the line in which
 * those that were freed wait. */
#ifndef PATALLOC_SLOT_H
#define PATALLOC_SLOT_H

#include "base/moment.h"
#include "pages/chunk.h"
#include "pages/compare.h"
#include "pages/table.h"

enum slot_state { SLOT_NONE, SLOT_LIVE, SLOT_DEAD };

/* What lies in front of a block, and is its own. */
enum { SLOT_FRONT = 64 };

/* Of a block, for as long as anything is known of it. */
struct slot {
  _Atomic uint8_t state; /* enum slot_state */
  uint8_t fill, around;  /* the numbers of the patterns (pages/compare.h) that it was filled with
                          * when  it was freed, and that is around it; 0: not looked at */
  uint8_t origin;        /* which functions it is of (watch/origin.h) */
  uint16_t size;         /* bytes requested */
  uint16_t start;        /* of the block, from the slot's: where the program's pointer points */
  struct moment allocated, freed; /* where reports are wanted */
};
extern struct slot *slot_table;
extern struct table slot_records; /* there */

/* Idempotent; any thread may call it. False where there can be none. */
bool slot_init(const struct options *options);

/* Whether the record can be read. Async-signal-safe. */
bool slot_known(uint32_t slot);

static inline bool slot_fits(size_t size, size_t alignment) {
  return size <= os_page && alignment <= os_page &&
         ((size + alignment - 1) & ~(alignment - 1)) <= os_page;
}

static inline uintptr_t slot_block(uint32_t slot) {
  return chunk_slot_address(slot) + slot_table[slot].start;
}
static inline uintptr_t slot_front(uint32_t slot) { /* where that starts */
  uint32_t start = slot_table[slot].start;
  return chunk_slot_address(slot) + (start < SLOT_FRONT ? 0 : start - SLOT_FRONT);
}
static inline uintptr_t slot_end(uint32_t slot) {
  return chunk_slot_address(slot) + os_page;
}

/* A block of that size, at a multiple of `alignment`, a power of two; slot_fits. At the guard
 * before it, or else as near to the one behind as the alignment lets it. Its content is whatever
 * was there. It is live once it has been filled, and is published. 0 with ENOMEM. */
uint32_t slot_take(unsigned feed, size_t size, size_t alignment, bool left,
                   const struct options *options);
void slot_publish(uint32_t slot);

/* Makes a live block dead; of several threads one does so. False for what is none. */
bool slot_is_live(uint32_t slot, const void *pointer);
bool slot_claim(uint32_t slot, const void *pointer);

/* What was found of a block that was written to after it was freed. */
struct slot_written {
  uint32_t slot;
  struct difference part;
  unsigned char bytes[16]; /* of it the first ones */
};

/* Then fills it with the complement of the pattern, and has it wait. Others may be due to leave: if
 * one was written to since (with slack_check), that is told, once, and all stay as they are;
 * slot_go_on has them leave. False where nothing is told. */
bool slot_give(unsigned feed, uint32_t slot, const struct options *options,
               struct slot_written *written);
bool slot_go_on(unsigned feed, const struct options *options, struct slot_written *written);

/* Of all that wait one; for when the process ends. Async-signal-safe. */
bool slot_find_written(struct slot_written *written);

/* The next live block after this slot, and 0 after the last, for slot 0 the first; its pages stay
 * as they are until slot_leave. Those that threads are at are left out. */
uint32_t slot_enter_next(uint32_t slot);
void slot_leave(uint32_t slot);

/* To be called now and then: those that have waited for so many milliseconds leave, as far as they
 * were not written to. */
void slot_tick(const struct options *options);

/* Lets go of pages that wait for blocks; returns their bytes of address space. */
size_t slot_release(void);

void slot_lock(void); /* around fork */
void slot_unlock(void);

#endif
