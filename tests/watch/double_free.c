/* double-free - inside 0 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(SIZE)); /* ALLOCATED */
  free(block);                      /* FREED */
  free(block);                      /* ACCESS */
}
