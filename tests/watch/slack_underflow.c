/* heap-buffer-underflow write before 3 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(SIZE - 48)); /* ALLOCATED */
  block[-3] = 1;
  free(block); /* ACCESS */
}
