/* A block is written to after it was freed, or in front of its start, and the program ends soon
 * after that.
 *
 *   afterwards freed|before */
#include "check.h"

int main(int argc, char **argv) {
  CHECK(argc == 2);
  char *volatile block = malloc(24);
  bool freed = !strcmp(argv[1], "freed");
  if (freed) free(block);
  block[freed ? 3 : -3] = 'A';
  printf("done");
  return 0;
}
