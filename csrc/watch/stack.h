/* Call stacks: taken by the compiler's unwinder, and recorded once for all that are equal in a
 * table outside the heap. */
#ifndef PATALLOC_STACK_H
#define PATALLOC_STACK_H

#include "base/option.h"

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
uint32_t stack_record(const struct options *options);

/* Records stacks in a file from here on, which tells of them while the process runs and when it has
 * ended; in a forked child, in another one with what there is so far. False with errno where that
 * can't be made. */
bool stack_trace_to(const char *destination);

/* Has stacks get identities from here on: what they are called in every run of the program. */
void stack_identify(void);

/* Counts an allocation of so many bytes with that stack; returns the how many-th it is, and the
 * stack's identity. 0 for number 0. */
uint64_t stack_count(uint32_t number, size_t size, uint64_t *identity);

/* The stack of that number; empty for 0. Async-signal-safe. */
void stack_find(uint32_t number, struct stack *stack);

#endif
