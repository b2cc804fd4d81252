/* Whether the program has a sandbox (see sandbox.h). */
#include "os/sandbox.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic bool sandboxed;
static _Atomic unsigned calls; /* that have begun */

/* Not for ever: a handler of signals may have interrupted one. */
void os_enter_sandbox(void) {
  enum { SECONDS = 2 };
  struct timespec since, now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &since);
  sandboxed = true;
  do clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  while (calls && now.tv_sec - since.tv_sec < SECONDS);
}

/* Counted before it is asked, and the other way round above. */
bool os_may_call(void) {
  calls++;
  if (!sandboxed) return true;
  calls--;
  return false;
}

void os_called(void) {
  calls--;
}

void os_forget_calls(void) {
  calls = 0;
}

bool os_is_sandboxed(void) {
  return atomic_load_explicit(&sandboxed, memory_order_relaxed);
}
