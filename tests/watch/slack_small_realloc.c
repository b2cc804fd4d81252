/* heap-buffer-overflow write after 8 */
#include "error.h"

int main(void) {
  char *block = hide(calloc(10, 10)); /* ALLOCATED */
  block[107] = 1;
  realloc(block, 300); /* ACCESS */
}
