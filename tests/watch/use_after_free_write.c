/* use-after-free write inside 5 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(SIZE)); /* ALLOCATED */
  free(block);                      /* FREED */
  *aim(block + 5) = 1;              /* ACCESS */
}
