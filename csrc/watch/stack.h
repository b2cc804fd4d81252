/* Call stacks: recorded once for all that are equal, in a table outside the heap. */
#ifndef PATALLOC_STACK_H
#define PATALLOC_STACK_H

#include "base/option.h"
#include "watch/unwind.h"

/* The number in the table of the calling thread's stack; 0 where the options want none, or the
 * table is full. Safe as unwind. */
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
