/* use-after-free - inside 0 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(SIZE)); /* ALLOCATED */
  free(block);                      /* FREED */
  realloc(block, 2 * SIZE);         /* ACCESS */
}
