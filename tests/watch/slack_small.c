/* heap-buffer-overflow write after 1 */
#include "error.h"

int main(void) {
  char *block = hide(malloc(100)); /* ALLOCATED */
  strcpy(block + 97, "abc");
  free(block); /* ACCESS */
}
