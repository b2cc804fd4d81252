/* A block is written to after it was freed, and the program ends soon after that. */
#include "check.h"

int main(void) {
  char *volatile block = malloc(24);
  free(block);
  block[3] = 'A';
  printf("done");
  return 0;
}
