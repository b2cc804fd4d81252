/* A daemon's habit: close every descriptor, then go on. Other files take the numbers; the heap must
 * not map them, and its patterns must be right.
 *
 *   descriptors FILE      where FILE holds something other than the pattern */
#include "check.h"

#include <fcntl.h>

enum { BLOCKS = 1000, DESCRIPTORS = 1024 };

static void replace_descriptors(const char *file) {
  for (int i = 3; i < DESCRIPTORS; i++) close(i);
  for (int i = 3; i < DESCRIPTORS; i++) CHECK(open(file, O_RDWR) == i);
}

static void allocate(unsigned char **blocks, int from, int to) {
  for (int i = from; i < to; i++) {
    size_t size = 150000 + 1000 * (size_t)i;
    blocks[i] = malloc(size);
    CHECK(blocks[i] && holds(blocks[i], size, expected()));
    blocks[i][size / 2] = 1;
  }
}

int main(int argc, char **argv) {
  static unsigned char *blocks[BLOCKS];
  CHECK(argc == 2);
  allocate(blocks, 0, 1);
  replace_descriptors(argv[1]);
  allocate(blocks, 1, BLOCKS / 2);
  replace_descriptors(argv[1]);
  allocate(blocks, BLOCKS / 2, BLOCKS);
  char line[512];
  close(3);
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(maps);
  while (fgets(line, sizeof line, maps)) CHECK(!strstr(line, argv[1]));
  for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
  return 0;
}
