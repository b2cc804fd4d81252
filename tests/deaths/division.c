/* fatal-signal: SIGFPE: an integer division by zero, or too large, at 0x[0-9a-f]+ */
#include "death.h"

static void act(void) {
  volatile int ten = 10, divisor = good;
#if defined __x86_64__
  ten = ten / divisor; /* HERE */
#else                  /* which gives 0 */
  if (!divisor) raise(SIGFPE);
#endif
}
