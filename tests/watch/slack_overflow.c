/* heap-buffer-overflow write after 2 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(SIZE - 7)); /* ALLOCATED */
  memcpy(block + SIZE - 7 + 1, "xyz", 3);
  free(block); /* ACCESS */
}
