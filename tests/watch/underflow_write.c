/* heap-buffer-underflow write before 1 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE); /* ALLOCATED */
  *aim(block - 1) = 1;        /* ACCESS */
}
