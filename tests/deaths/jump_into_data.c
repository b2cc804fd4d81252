/* wild-jump: SIGSEGV, execute at 0x[0-9a-f]+: no code is there, in .*jump_into_data \(rw-p\) */
#include "death.h"

static char data[64];

static void act(void) {
  int (*volatile function)(const char *) = puts;
  if (!good) function = (int (*)(const char *))hide(data);
  function("called"); /* HERE */
}
