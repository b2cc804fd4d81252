/* Blocks from three call stacks, of which one is overrun: named, other or zeroed, if that is given.
 */
#include <stdlib.h>
#include <string.h>

static volatile char seen;

__attribute__((noinline)) static char *named(size_t size) {
  char *block = malloc(size);
  return memset(block, 1, size);
}

__attribute__((noinline)) static char *other(size_t size) {
  char *block = malloc(size);
  return memset(block, 2, size);
}

__attribute__((noinline)) static char *zeroed(size_t size) {
  char *block = calloc(1, size);
  block[0] = 3;
  return block;
}

int main(int argc, char **argv) {
  for (size_t i = 1; i <= 100; i++) {
    size_t size = 16 * i;
    char *a = named(size), *b = other(size), *c = zeroed(size);
    if (argc > 1 && i == 50)
      seen = !strcmp(argv[1], "named") ? a[size] : !strcmp(argv[1], "other") ? b[size] : c[size];
    free(a);
    free(b);
    free(c);
  }
  return 0;
}
