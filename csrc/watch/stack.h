/* Call stacks: recorded once for all that are equal, in a table outside the heap. */
#ifndef PATALLOC_STACK_H
#define PATALLOC_STACK_H

#include "base/option.h"
#include "watch/unwind.h"

/* The number in the table of the calling thread's stack, of at most so many frames; 0 for none, as
 * where the table is full. Safe as unwind. */
uint32_t stack_take(unsigned most);

/* The same, for a thread that remembers its last walk, and the numbers of some stacks: faster where
 * they are many. Zeros at first; always of as many frames. In Python (pycalls.h) it is the calls
 * inside the innermost call of a function of Python's, at most half of them, and then those of
 * Python's functions. These are no addresses, but STACK_NAMED, the number of what is called so, and
 * the line; under the number the table has file and function, a NUL behind each, as if that were a
 * stack's frames. */
#define STACK_NAMED (UINT64_C(1) << 63)
enum { STACK_NAME_SHIFT = 24 }; /* below it is the line; 0: not known */
enum { NEAR_LOG = 12 };
struct stack_memory {
  unsigned turn;
  struct walked last;
  struct {
    uint64_t hash;
    uint32_t number;
  } known[1 << NEAR_LOG];
};
uint32_t stack_take_near(unsigned most, struct stack_memory *memory);

/* Of as many as the options want, if they want that of this block. */
uint32_t stack_record(const struct options *options);

/* So many, but for of how many blocks that is. */
static inline unsigned stack_frames(const struct options *options) {
  return options->stacks & ((1u << STACKS_EVERY_SHIFT) - 1);
}

/* Records stacks in a file from here on, which tells of them while the process runs and when it has
 * ended; in a forked child, in another one with what there is so far. False with errno where that
 * can't be made. */
bool stack_trace_to(const char *destination);

/* Counts an allocation of so many bytes with that stack; returns the how many-th it is, and the
 * stack's identity: what it is called in every run of the program. 0 for number 0. */
uint64_t stack_count(uint32_t number, size_t size, uint64_t *identity);

/* Counts one of zeros, apart from those. */
void stack_count_zeros(uint32_t number, size_t size);

extern struct stack_table *_Atomic stack_table; /* NULL: none has been taken */

/* Where that lies, in whole pages: its head, which says how long the rest is; and the rest. Of no
 * bytes where there is none. */
RARE void stack_extent(bool rest, const void **start, uint64_t *size);

/* The stack of that number; empty for 0. Async-signal-safe. */
void stack_find(uint32_t number, struct stack *stack);

#endif
