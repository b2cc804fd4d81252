/* use-after-free write inside 77 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(SIZE)); /* ALLOCATED */
  free(block);                      /* FREED */
  for (int i = 0; i < 1000; i++) free(hide(malloc(SIZE)));
  *aim(block + 77) = 1; /* ACCESS */
}
