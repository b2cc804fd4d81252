/* heap-buffer-overflow write after 1 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE); /* ALLOCATED */
  *aim(block + SIZE) = 1;     /* ACCESS */
}
