/* wild-access: SIGSEGV, read at 0x123456780000, where nothing is mapped */
#include "death.h"

static void act(void) {
  char one = 1;
  volatile char *pointer = hide(good ? &one : (char *)0x123456780000);
  if (*pointer != 1) puts("?"); /* HERE */
}
