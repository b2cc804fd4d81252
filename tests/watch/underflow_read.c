/* heap-buffer-underflow read before 1 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE); /* ALLOCATED */
  return *aim(block - 1);     /* ACCESS */
}
