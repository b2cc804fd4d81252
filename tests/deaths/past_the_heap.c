/* wild-access: SIGSEGV, write at 0x[0-9a-f]+, \d+ bytes? past the end of \[heap\]: a small block's
 * overflow is likely; try --preset find */
#include "death.h"

static void act(void) {
  volatile char *block = hide(malloc(20));
  for (long i = 0; i < (good ? 20 : 1L << 30); i++) block[i] = 1; /* HERE */
}
