/* invalid-free - - - */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE);
  free(hide(block + (1l << 36))); /* ACCESS */
}
