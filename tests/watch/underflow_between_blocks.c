/* heap-buffer-underflow read before 1 */
#include "error.h"

int main(void) {
  char *blocks[9];
  for (int i = 0; i < 9; i++) blocks[i] = malloc(SIZE / 4); /* ALLOCATED */
  return *aim(blocks[4] - 1);                               /* ACCESS */
}
