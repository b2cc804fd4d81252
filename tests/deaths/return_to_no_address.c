/* wild-jump: SIGSEGV, execute: a return to 0x6f6f6f6f6f6f6f6f, which is no address: the stack was
 * overwritten */
#include "death.h"

__attribute__((noinline, optimize("no-omit-frame-pointer"))) static void overrun(void) {
  void **frame = __builtin_frame_address(0);
  if (!good) ((void *volatile *)frame)[1] = (void *)0x6f6f6f6f6f6f6f6f;
} /* HERE */

static void act(void) {
  overrun();
}
