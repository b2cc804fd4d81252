/* wild-access: SIGSEGV, write at 0x[0-9a-f]+, in .*constant_written \(r--p\) */
#include "death.h"

static void act(void) {
  static char variable[] = "text";
  volatile char *text = hide(good ? variable : "text");
  *text = 'T'; /* HERE */
}
