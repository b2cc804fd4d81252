/* A block is written to after it was freed, or in front of its start, and the program ends soon
 * after that.
 *
 *   afterwards freed|before|twice|past      and then another one is freed twice, or overrun: what
 * ends the program is told of first */
#include "check.h"

int main(int argc, char **argv) {
  CHECK(argc == 2);
  char *volatile block = malloc(24);
  bool freed = strcmp(argv[1], "before");
  if (freed) free(block);
  block[freed ? 3 : -3] = 'A';
  char *volatile other = malloc(16);
  if (!strcmp(argv[1], "past")) other[16] = 'B';
  if (!strcmp(argv[1], "twice")) free(other);
  free(other);
  printf("done");
  return 0;
}
