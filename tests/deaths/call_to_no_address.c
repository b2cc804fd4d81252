/* wild-jump: SIGSEGV, execute: a call or jump to an address that is none */
#include "death.h"

static void work(void) {}

static void act(void) {
  void (*function)(void) = good ? work : (void (*)(void))hide((void *)0x7ff8000000000000);
  function(); /* HERE */
}
