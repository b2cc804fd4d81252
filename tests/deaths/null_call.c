/* null-pointer: SIGSEGV, execute at 0x0: a null function pointer was called */
#include "death.h"

static int (*volatile function)(const char *);

static void act(void) {
  if (good) function = puts;
  function("called"); /* HERE */
}
