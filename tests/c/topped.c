/* Blocks by three functions, written here and there; one is freed. It waits, allocates more, and
 * waits again. */
#include "check.h"

enum { MANY = 5, MORE = 7, PAGES = 100 };

static size_t page;

static __attribute__((noinline)) char *small_ones(void) {
  char *block = malloc(1 << 20);
  CHECK(block);
  return block;
}

static __attribute__((noinline)) char *written(void) {
  char *block = malloc(3 << 20);
  CHECK(block);
  memset(block, 1, 3 << 20);
  return block;
}

static __attribute__((noinline)) char *largest(void) {
  char *block = malloc(16 << 20);
  CHECK(block);
  for (size_t i = 0; i < PAGES; i++) block[2 * i * page] = 1;
  return block;
}

static void wait_for_a_line(void) {
  printf("%d\n", (int)getpid());
  fflush(stdout);
  CHECK(getchar() == '\n');
}

int main(void) {
  page = (size_t)sysconf(_SC_PAGESIZE);
  largest();
  for (int i = 0; i < MANY; i++) small_ones();
  written();
  free(written());
  wait_for_a_line();
  for (int i = 0; i < MORE; i++) small_ones();
  wait_for_a_line();
  return 0;
}
