/* History: who allocated and who freed the blocks, and when; beside the region's table, with a
 * record a granule. A record stays when its block's address space is released, until another block
 * starts there. Kept only where reports are wanted. */
#ifndef PATALLOC_HISTORY_H
#define PATALLOC_HISTORY_H

#include "base/moment.h"
#include "pages/region.h"
#include "watch/watch.h"

struct history {
  uint64_t size;   /* bytes requested; 0: no block */
  uint32_t offset; /* of its address from the granule's */
  uint8_t origin;  /* which functions it is of (origin.h) */
  struct moment allocated, freed;
};

extern struct table history_records;

/* os_milliseconds when the first heap came of which reports are wanted. */
extern uint32_t history_began;

/* The calling thread has got the block, or resized it; or it gives it up. Nothing where reports are
 * not wanted, or there is no memory. Any threads may do so at the same time; not a signal handler.
 */
void history_note_allocated(const struct options *options, uint32_t granule);
void history_note_freed(const struct options *options, uint32_t granule);
static inline void history_allocated(const struct watch *watch, uint32_t granule) {
  if (watch->reports) history_note_allocated(watch->options, granule);
}
static inline void history_freed(const struct watch *watch, uint32_t granule) {
  if (watch->reports) history_note_freed(watch->options, granule);
}

/* Sets the origin of a live block, and tells what it was before; false for no record. */
bool history_exchange_origin(uint32_t granule, uint8_t origin, uint8_t *before);

/* Now, with the calling thread and its stack. */
struct moment history_now(const struct options *options);

void history_lock(void); /* around fork */
void history_unlock(void);

/* The record of this granule; false for none. Async-signal-safe. */
bool history_get(uint32_t granule, struct history *history);

/* The granule of the block that last held the address, and was freed; 0 for none. Likewise. */
uint32_t history_find(uintptr_t address);

#endif
