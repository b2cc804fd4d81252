/* What the context of a signal tells of the thread it came to (ucontext_t): the processor's part of
 * handling faults. x86-64 and arm64; elsewhere little is known. Async-signal-safe. */
#ifndef PATALLOC_REGISTERS_H
#define PATALLOC_REGISTERS_H

#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

struct named_register {
  const char *name;
  unsigned number; /* that it has in instructions */
  uintptr_t value;
};

/* The general ones; returns how many there are. */
enum { REGISTERS_MOST = 32 };
unsigned registers_get(const ucontext_t *context, struct named_register list[REGISTERS_MOST]);

uintptr_t registers_pc(const ucontext_t *context);
uintptr_t registers_sp(const ucontext_t *context);

/* Back into the call by which the program came to where no code is. */
void registers_leave_call(ucontext_t *context);

/* Back into the trap instruction that is behind the thread. */
void registers_leave_trap(ucontext_t *context);

/* Of a fault: read, write, execute; access where that is not known. */
const char *registers_access(const ucontext_t *context);

#endif
