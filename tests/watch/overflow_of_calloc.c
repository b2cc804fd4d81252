/* heap-buffer-overflow write after 1 */
#include "error.h"

int main(void) {
  char *block = calloc(2, SIZE); /* ALLOCATED */
  *aim(block + 2 * SIZE) = 1;    /* ACCESS */
}
