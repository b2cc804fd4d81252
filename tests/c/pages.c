/* Large blocks of which some pages are written, freed and not, and used again. */
#include "check.h"

#include <unistd.h>

enum { SIZE = 4 << 20 };

static char *make(void) {
  char *block = malloc(SIZE);
  CHECK(block);
  return block;
}

static void write_pages(char *block, int from, int to) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  for (int i = from; i < to; i++) block[(size_t)i * page + 100] = 1;
}

int main(void) {
  char *freed = make();
  write_pages(freed, 3, 10);
  write_pages(freed, 500, 501);
  free(freed);
  char *again = make(); /* whose pages may have been kept */
  write_pages(again, 0, 1);
  free(again);
  char *unwritten = make();
  free(unwritten);
  char *zeros = calloc(1, SIZE);
  CHECK(zeros);
  write_pages(zeros, 7, 9);
  char *left = make();
  write_pages(left, 1000, 1024);
  return left[0] == 1;
}
