/* A sparse block far larger than memory: its pattern is there, at every place looked at. */
#include "check.h"

int main(void) {
  size_t size = (size_t)1 << 40;
  unsigned char *block = malloc(size);
  CHECK(block);
  for (size_t at = 0; at < size; at += size / 64) CHECK(block[at] == expected());
  CHECK(block[size - 1] == expected());
  block[size / 3] = 1;
  block[size - 1] = 2;
  block = realloc(block, size + size / 2);
  CHECK(block && block[size / 3] == 1 && block[size - 1] == 2 && block[size] == expected());
  free(block);
  block = calloc(1, size);
  CHECK(block && !block[0] && !block[size - 1]);
  free(block);
  block = malloc(size);
  CHECK(block && block[size / 3] == expected());
  block[size / 3] = 1;
  CHECK(!realloc(block, 20 * size)); /* more than there is: it ends, and nothing is lost */
  CHECK((block = realloc(block, 2 * size)) && block[size / 3] == 1 && block[size] == expected());
  CHECK((block = realloc(block, size / 2)) && block[size / 3] == 1);
  free(block);
  return 0;
}
