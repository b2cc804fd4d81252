/* heap-buffer-overflow write after 4096 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE);        /* ALLOCATED */
  *aim(block + SIZE + PAGE - 1) = 1; /* ACCESS */
}
