/* abort: SIGABRT, by abort: .*assertion.c:\d+: act: Assertion `good' failed\. */
#include "death.h"

static void act(void) {
  assert(good); /* HERE */
}
