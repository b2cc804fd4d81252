/* null-pointer: SIGSEGV, write at 0x8, 8 bytes from a null pointer */
#include "death.h"

static void reset(int number) {
  signal(number, SIG_DFL);
}

static void act(void) {
  long two[2];
  signal(SIGSEGV, reset);
  volatile long *pointer = hide(good ? two : NULL);
  pointer[1] = 1; /* HERE */
}
