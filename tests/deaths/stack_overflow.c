/* stack-overflow: SIGSEGV, write at 0x[0-9a-f]+: the thread's stack is full */
#include "death.h"

static int go_down(int depth) {
  volatile char room[500];
  room[0] = 1;                                           /* HERE */
  return depth ? go_down(depth - 1) + room[0] : room[0]; /* or HERE */
}

static void act(void) {
  if (go_down(good ? 100 : 1 << 30) != 101) puts("?");
}
