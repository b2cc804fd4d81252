/* Whether the program has a sandbox (see sandbox.h). */
#include "os/sandbox.h"

#include <stdatomic.h>

static _Atomic bool sandboxed;

void os_enter_sandbox(void) {
  sandboxed = true;
}

bool os_is_sandboxed(void) {
  return atomic_load_explicit(&sandboxed, memory_order_relaxed);
}
