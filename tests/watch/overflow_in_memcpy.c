/* heap-buffer-overflow write after 1 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE); /* ALLOCATED */
  static char source[2 * SIZE];
  memcpy((char *)aim(block + SIZE) - SIZE, source, 2 * SIZE); /* ACCESS */
}
