/* The ledger: the small blocks that the primary gave, where the heap must know them, out of line
 * and so out of the program's reach. An address that is not in it is not the heap's: it may be a
 * block of the C library's own malloc, which a library that was loaded with RTLD_DEEPBIND
 * (dlopen(3)) has called past the heap; or no block at all. Both are for the primary to judge.
 *
 * (What the heap gave and such a library frees stays in it, until the primary gives the address to
 * the heap again. By then the memory may be another block's: whoever finds an entry asks whether
 * the primary's block is as large as it was.)
 *
 * Not safe in a signal handler, but for what says so. */
#ifndef PATALLOC_LEDGER_H
#define PATALLOC_LEDGER_H

#include "base/lock.h"
#include "base/rare.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct small_block {
  uintptr_t address;
  uint32_t size, room; /* bytes: that were requested, and that the primary gave */
  uint32_t stack;      /* of the allocation */
  uint32_t note;       /* and what the thread was at (note.h) */
  bool held;           /* it was freed, and the primary hasn't got it back yet */
  uint8_t fill;   /* the number of the pattern that it was filled with then (pages/compare.h) */
  uint8_t origin; /* which functions it is of (origin.h) */
  uint8_t around; /* and that of what lies behind what was requested; 0: not looked at */
};

/* A hash table; which block is in which the block's address tells. */
enum { LEDGER_LOG = 6, LEDGER_PARTS = 1 << LEDGER_LOG };
struct ledger_part {
  struct lock lock;
  unsigned log; /* of how many blocks there is room for; 0 until it is used */
  size_t used;
  struct small_block *blocks; /* an address of 0: none */
} __attribute__((aligned(64)));
extern struct ledger_part ledger_parts[LEDGER_PARTS];

/* Whether one was ever entered. */
USUAL bool ledger_used(void);

/* In place of one with this address. Where there is no memory it is not entered. */
void ledger_enter(const struct small_block *block);

/* False for an address that is not in it. */
bool ledger_find(const void *pointer, struct small_block *block);

/* Marks it held, and to be filled so, and tells what it was before; or strikes it out. Of several
 * threads that do so one finds it as it was. */
bool ledger_hold(const void *pointer, uint8_t fill, struct small_block *before);
bool ledger_strike(const void *pointer, struct small_block *before);

/* Sets the origin of one that is not held, and tells what it was before. */
bool ledger_exchange_origin(const void *pointer, uint8_t origin, struct small_block *before);

/* From a place on, at first of zeros, the next one that is wanted; false for no more. That is asked
 * with a lock held, and what threads are at is left out. Async-signal-safe. */
struct ledger_place {
  unsigned part;
  size_t at;
};
typedef bool ledger_wanted(void *context, struct small_block *block);
bool ledger_search(struct ledger_place *place, ledger_wanted *wanted, void *context);

/* The same of one block. */
bool ledger_look(const void *pointer, ledger_wanted *wanted, void *context);

/* Whether the ledger itself has this page. */
bool ledger_lies_at(uintptr_t page);

void ledger_lock(void); /* around fork */
void ledger_unlock(void);

#endif
