/* Recovery: code that reads what it cannot trust (other code's stacks, headers of files that are
 * mapped) may fault, and goes on after that where the handler of faults is installed (fault.c). */
#ifndef PATALLOC_RECOVER_H
#define PATALLOC_RECOVER_H

#include <stdbool.h>
#include <stdint.h>

/* Calls the function; false where a fault in this library's code ended it. Async-signal-safe, and
 * so must the function be. */
bool recover_try(void (*function)(void *), void *argument);

/* The same, also where a fault in the code of others ended it. Only what they keep to themselves
 * may be left as it was then. */
bool recover_try_all(void (*function)(void *), void *argument);

/* For a handler of a fault at `pc`: ends the innermost recover_try of this thread, if the fault is
 * its function's. Returns otherwise. */
void recover_from(uintptr_t pc);

/* Whether the code at `pc` is this library's. Never where the library is linked into a program. */
bool recover_is_own(uintptr_t pc);

#endif
