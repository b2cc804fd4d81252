/* One misuse a run, named by the argument. */
#include "check.h"

static char *volatile block;
static char *volatile other;

int main(int argc, char **argv) {
  CHECK(argc == 2);
  const char *what = argv[1];
  block = malloc(1000000);
  other = malloc(1000000);
  CHECK(block && other);
  if (!strcmp(what, "double-free"))
    free(block), free(block);
  else if (!strcmp(what, "interior-free"))
    free(block + 160);
  else if (!strcmp(what, "late-interior-free"))
    free(block + 500000);
  else if (!strcmp(what, "wild-free"))
    free(block + (1l << 36));
  else if (!strcmp(what, "realloc-freed"))
    free(block), other = realloc(block, 2000000);
  else if (!strcmp(what, "realloc-interior"))
    other = realloc(block + 16, 2000000);
  else if (!strcmp(what, "usable-freed"))
    free(block), malloc_usable_size(block);
  else if (!strcmp(what, "overflow"))
    block[1000000 + 4096] = 1;
  else if (!strcmp(what, "underflow"))
    block[-4096] = 1;
  else
    CHECK(!"a known misuse");
  puts("went on");
  return 0;
}
