/* wild-jump execute inside 16 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE);                  /* ALLOCATED */
  ((void (*)(void))(void *)aim(block + 16))(); /* ACCESS */
  return 0;
}
