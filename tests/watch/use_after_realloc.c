/* use-after-free read inside 9 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(SIZE)); /* ALLOCATED */
  for (int i = 0; i < 8; i++) malloc(SIZE);
  realloc(block, 64 * SIZE); /* FREED */
  return *aim(block + 9);    /* ACCESS */
}
