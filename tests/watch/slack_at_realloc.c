/* heap-buffer-overflow write after 4 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(SIZE - 7)); /* ALLOCATED */
  block[SIZE - 7 + 3] = 1;
  realloc(block, 2 * SIZE); /* ACCESS */
}
