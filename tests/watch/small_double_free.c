/* double-free - inside 0 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(500)); /* ALLOCATED */
  free(block);
  free(block); /* ACCESS */
}
