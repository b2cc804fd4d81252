/* A program that locks its memory: guard markers and MADV_DONTNEED are refused there.
 *
 *   locked current|future */
#include "check.h"

#include <sys/mman.h>

int main(int argc, char **argv) {
  CHECK(argc == 2);
  unsigned char *first = malloc(300000);
  CHECK(first);
  CHECK(!mlockall(strcmp(argv[1], "future") ? MCL_CURRENT : MCL_CURRENT | MCL_FUTURE));
  for (int round = 0; round < 3; round++) {
    unsigned char *blocks[10];
    for (int i = 0; i < 10; i++) {
      size_t size = 200000 + 50000 * (size_t)i;
      blocks[i] = malloc(size);
      CHECK(blocks[i] && holds(blocks[i], size, expected()));
      memset(blocks[i], 1, size);
      CHECK(!readable(blocks[i] + malloc_usable_size(blocks[i])));
    }
    for (int i = 0; i < 10; i++) free(blocks[i]);
  }
  memset(first, 1, 300000);
  first = realloc(first, 3000000);
  CHECK(first && holds(first, 300000, 1) && holds(first + 300000, 2700000, expected()));
  first = realloc(first, 200000);
  CHECK(first && holds(first, 200000, 1));
  free(first);
  return 0;
}
