/* Call stacks: taken by the compiler's unwinder, and kept once for all that are equal in a table
 * outside the heap. */
#ifndef PATALLOC_STACK_H
#define PATALLOC_STACK_H

#include "option.h"

enum { STACK_MOST = 64 };

struct stack {
  unsigned count;
  uintptr_t frames[STACK_MOST]; /* the innermost first: addresses inside the call instructions */
};

/* The calls that led here, at most `most`, without those inside this library; with `pc`, an
 * interrupted instruction, those that led to it. A stack that can't be followed ends early.
 * Async-signal-safe where the C library has _dl_find_object (glibc 2.35); before that it may wait
 * for another thread's dlopen(3). */
void stack_take(struct stack *stack, unsigned most, uintptr_t pc);

/* The number in the table of the calling thread's stack; 0 where the options want none, or the
 * table is full. Safe as stack_take. */
uint32_t stack_keep(const struct options *options);

/* The stack of that number; empty for 0. Async-signal-safe. */
void stack_find(uint32_t number, struct stack *stack);

#endif
