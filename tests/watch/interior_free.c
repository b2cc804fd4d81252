/* invalid-free - inside 48 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE); /* ALLOCATED */
  free(hide(block + 48));     /* ACCESS */
}
