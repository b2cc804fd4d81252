/* null-pointer: SIGSEGV, write at 0x8, 8 bytes from a null pointer */
#include "death.h"

#include <stdatomic.h>

static _Atomic bool begun;

static void *crash(void *pointer) {
  begun = true;
  *(volatile int *)pointer = 1; /* HERE */
  return NULL;
}

/* The process is to die of that, though another thread ends it before it is told. */
static void act(void) {
  static char fine[16];
  pthread_t thread;
  if (pthread_create(&thread, NULL, crash, hide(good ? fine : (char *)8))) abort();
  while (!begun) {
  }
  usleep(300);
  if (!good) exit(0);
  pthread_join(thread, NULL);
}
