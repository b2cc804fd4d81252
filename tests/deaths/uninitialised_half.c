/* uninitialised-pointer: SIGSEGV, .*, the pattern of memory that was never written */
#include "death.h"

static void act(void) {
  static char name[] = "name";
  char **names = hide(malloc(sizeof *names)), *start = name;
  memcpy(names, &start, good ? sizeof start : sizeof start / 2);
  if (**(char *volatile *)names != 'n') puts("?"); /* HERE */
}
