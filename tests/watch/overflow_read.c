/* heap-buffer-overflow read after 1 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE); /* ALLOCATED */
  return *aim(block + SIZE);  /* ACCESS */
}
