/* heap-buffer-underflow write before 4096 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE); /* ALLOCATED */
  *aim(block - PAGE) = 1;     /* ACCESS */
}
