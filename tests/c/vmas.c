/* How many mappings a block of 1 GiB takes: no more than the argument says.
 *
 *   vmas MOST */
#include "check.h"

int main(int argc, char **argv) {
  CHECK(argc == 2);
  free(malloc(200000)); /* what a heap needs once */
  int before = count_mappings();
  unsigned char *block = malloc(1 << 30);
  CHECK(block && block[0] == expected() && block[(1 << 30) - 1] == expected());
  CHECK(count_mappings() - before <= atoi(argv[1]));
  free(block);
  return 0;
}
