/* Many blocks live at once, each with its pattern and one page of its own.
 *
 *   live SIZE COUNT */
#include "check.h"

int main(int argc, char **argv) {
  CHECK(argc == 3);
  size_t size = strtoul(argv[1], NULL, 0), count = strtoul(argv[2], NULL, 0);
  unsigned char **blocks = calloc(count, sizeof *blocks);
  CHECK(blocks);
  for (size_t i = 0; i < count; i++) {
    blocks[i] = malloc(size);
    CHECK(blocks[i] && blocks[i][0] == expected());
    blocks[i][0] = 1;
  }
  CHECK(!readable(blocks[count / 2] + malloc_usable_size(blocks[count / 2])));
  for (size_t i = 0; i < count; i++) {
    CHECK(blocks[i][0] == 1);
    free(blocks[i]);
  }
  return 0;
}
