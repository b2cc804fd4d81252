/* Allocations before main, after it, and across both. */
#include "check.h"

static unsigned char *small, *large;

__attribute__((constructor(101))) static void before(void) {
  small = malloc(100);
  large = malloc(3000000);
  CHECK(small && large && holds(large, 3000000, expected()));
  memset(large, 5, 3000000);
}

__attribute__((destructor(101))) static void after(void) {
  unsigned char *late = malloc(3000000);
  CHECK(late && holds(late, 3000000, expected()));
  free(late);
  free(large);
  free(small);
}

static void at_exit(void) {
  free(realloc(malloc(200000), 400000));
}

int main(void) {
  atexit(at_exit);
  CHECK(holds(large, 3000000, 5));
  large = realloc(large, 6000000);
  CHECK(large && holds(large, 3000000, 5) && holds(large + 3000000, 3000000, expected()));
  return 0;
}
