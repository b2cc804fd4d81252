/* use-after-free read inside 0 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(SIZE / 4)); /* ALLOCATED */
  free(block);                          /* FREED */
  return *aim(block);                   /* ACCESS */
}
