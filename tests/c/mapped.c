/* Blocks of which pages were written, read, and left alone; one is freed. Then it waits. */
#include "check.h"

#include <unistd.h>

enum { SIZE = 4 << 20 };

int main(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *written = malloc(SIZE), *read_ = malloc(SIZE), *untouched = malloc(SIZE);
  char *kept = malloc(SIZE);
  CHECK(written && read_ && untouched && kept);
  for (size_t i = 100; i < 150; i++) written[i * page] = 1;
  volatile char seen = read_[500 * page];
  (void)seen;
  memset(kept, 1, SIZE);
  free(kept);
  printf("%p %p %p %p\n", (void *)written, (void *)read_, (void *)untouched, (void *)kept);
  fflush(stdout);
  getchar();
  return 0;
}
