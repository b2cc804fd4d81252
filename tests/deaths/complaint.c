/* abort: SIGABRT, by abort: free\(\): double free detected in tcache 2 \(the malloc underneath
 * found that; --preset find names the block\) */
#include "death.h"

static void act(void) {
  void *block = malloc(40);
  free(block);
  if (!good) free(hide(block)); /* HERE */
}
