/* Blocks: the record of a granule, of the block that starts in it. Its state is what threads race
 * for (region.h): who has made a live block BUSY, or has just placed it, alone touches the rest.
 * All functions are async-signal-safe. */
#ifndef PATALLOC_BLOCK_H
#define PATALLOC_BLOCK_H

#include "pages/run.h"

/* How a block got its content: enum patalloc_fill, in its order. */
enum block_fill { BLOCK_REFPAGE, BLOCK_MEMSET, BLOCK_ZERO, BLOCK_NONE, BLOCK_UNPATTERNED };

static inline enum granule_state block_state(uint32_t granule) {
  return atomic_load_explicit(&region.table[granule].state, memory_order_acquire);
}
static inline bool block_exists(uint32_t granule) {
  enum granule_state state = block_state(granule);
  return state != GRANULE_NONE && state != GRANULE_RANGE && state != GRANULE_FOREIGN;
}

static inline uintptr_t block_address(uint32_t granule) {
  return granule_address(granule) + region.table[granule].offset;
}
/* As the program has it. */
static inline void *block_pointer(uint32_t granule) {
  return (void *)mte_with_tag(block_address(granule), region.table[granule].tag);
}
/* Its pages, from the first to behind the last. */
static inline uintptr_t block_pages(uint32_t granule) {
  return page_down(block_address(granule));
}
static inline uintptr_t block_end(uint32_t granule) {
  return page_up(block_address(granule) + region.table[granule].size);
}

static inline struct run *block_run(uint32_t granule) {
  return run_at(region.table[granule].run);
}
static inline struct arena *block_arena(uint32_t granule) {
  return block_run(granule)->arena;
}

/* A new record, BUSY, of a block of this run; returns its granule. */
uint32_t block_place(uint32_t run, uintptr_t address, size_t size);

/* Makes a live block this thread's alone; false where it is none. */
static inline bool block_claim(uint32_t granule) {
  uint32_t live = GRANULE_LIVE;
  return atomic_compare_exchange_strong_explicit(&region.table[granule].state, &live, GRANULE_BUSY,
                                                 memory_order_acquire, memory_order_relaxed);
}

/* Makes a BUSY block the program's; returns what it is to have. */
static inline void *block_hand_out(uint32_t granule) {
  atomic_store_explicit(&region.table[granule].state, GRANULE_LIVE, memory_order_release);
  return block_pointer(granule);
}

/* The block, live or freed, in whose pages or at whose address `pointer` lies, or that ends before
 * it in the same slot; 0 for none. */
uint32_t block_find(uintptr_t pointer);

/* Whether what lies at an address in the region is none of ours, but another's mapping: something
 * is there, and no run has the address. */
RARE bool block_is_foreign(const void *pointer);

#endif
