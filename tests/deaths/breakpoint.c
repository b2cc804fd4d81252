/* fatal-signal: SIGTRAP: a breakpoint */
#include "death.h"

static void act(void) {
#if defined __x86_64__
  if (!good) __asm__ volatile("int3"); /* HERE */
#else
  if (!good) __asm__ volatile("brk #0"); /* HERE */
#endif
}
