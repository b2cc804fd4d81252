/* COUNT bytes of a value behind a small block, and free: what the report reads is overwritten, too.
 *
 *   overwrite VALUE COUNT */
#include "check.h"

int main(int argc, char **argv) {
  enum { SIZE = 40 };
  CHECK(argc == 3);
  char *volatile block = malloc(SIZE);
  CHECK(block);
  memset(block + SIZE, (int)strtoul(argv[1], NULL, 0), strtoul(argv[2], NULL, 0));
  free(block);
  return 0;
}
