/* heap-buffer-overflow write after 1 */
#include "error.h"

int main(void) {
  char *block = hide(calloc(1, SIZE - 7)); /* ALLOCATED */
  block[SIZE - 7] = 1;
  free(block); /* ACCESS */
}
