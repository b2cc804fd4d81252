/* wild-access: SIGSEGV, write at 0x[0-9a-f]+, \d+ bytes? past the end of \[stack\] */
#include "death.h"

/* Up to the end of the stack, over what the kernel has left there for the process. */
static void act(void) {
  volatile char start[8];
  for (size_t i = 0; i < (good ? sizeof start : 1 << 30); i++) start[i] = 'x'; /* HERE */
}
