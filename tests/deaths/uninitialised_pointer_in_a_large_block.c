/* uninitialised-pointer: SIGSEGV, .*, the pattern of memory that was never written */
#include "death.h"

static void act(void) {
  char **names = hide(good ? calloc(100000, sizeof *names) : malloc(100000 * sizeof *names));
  if (good) names[5000] = "name";
  if (!names[5000][3]) puts("?"); /* HERE */
}
