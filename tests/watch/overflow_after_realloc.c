/* heap-buffer-overflow write after 1 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE);
  block = realloc(block, 8 * SIZE); /* ALLOCATED */
  *aim(block + 8 * SIZE) = 1;       /* ACCESS */
}
