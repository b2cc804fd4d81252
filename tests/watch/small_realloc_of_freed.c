/* use-after-free - inside 0 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(50)); /* ALLOCATED */
  free(block);
  realloc(block, 60); /* ACCESS */
}
