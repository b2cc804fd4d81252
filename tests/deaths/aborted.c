/* abort: SIGABRT, by abort */
#include "death.h"

static void act(void) {
  if (!good) abort(); /* HERE */
}
