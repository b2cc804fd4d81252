/* How many mappings a block of 1 GiB takes: no more than the argument says.
 *
 *   vmas MOST */
#include "check.h"

static int count(void) {
  int lines = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(maps);
  for (int c; (c = getc(maps)) != EOF;) lines += c == '\n';
  fclose(maps);
  return lines;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  free(malloc(200000)); /* what a heap needs once */
  int before = count();
  unsigned char *block = malloc(1 << 30);
  CHECK(block && block[0] == expected() && block[(1 << 30) - 1] == expected());
  CHECK(count() - before <= atoi(argv[1]));
  free(block);
  return 0;
}
