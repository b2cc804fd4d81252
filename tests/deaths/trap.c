/* fatal-signal: SIG(ILL: an instruction that is none, or a trap of the compiler's, at
 * 0x[0-9a-f]+|TRAP: a breakpoint) */
#include "death.h"

static void act(void) {
  if (!good) __builtin_trap(); /* HERE */
}
