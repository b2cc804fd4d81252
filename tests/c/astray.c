/* Frees what is no block, or one that was overwritten: the malloc underneath has a word for each.
 *
 *   astray KIND */
#include "check.h"

static char global[256] __attribute__((aligned(16)));

static void *unaligned(char *unused) {
  (void)unused;
  return (char *)malloc(16) + 1;
}
static void *of_the_stack(char *local) {
  memset(local, 1, 256);
  return local + 32;
}
static void *of_a_variable(char *unused) {
  (void)unused;
  memset(global, 1, sizeof global);
  return global + 32;
}
static void *wild(char *unused) {
  (void)unused;
  return (void *)0x41414140;
}
static void *without_its_size(char *unused) {
  (void)unused;
  char *block = malloc(16);
  block[-1] = 'A';
  return block;
}
static void *with_a_size_of_zero(char *unused) {
  (void)unused;
  char *block = malloc(100);
  memset(block - 8, 0, 8);
  return block;
}

static const struct {
  const char *name;
  void *(*make)(char *of_the_stack);
} kinds[] = {
    {"unaligned", unaligned}, {"stack", of_the_stack},           {"variable", of_a_variable},
    {"wild", wild},           {"overwritten", without_its_size}, {"zeroed", with_a_size_of_zero},
};

int main(int argc, char **argv) {
  char local[256] __attribute__((aligned(16)));
  CHECK(argc == 2);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i].name, argv[1])) return free(kinds[i].make(local)), 0;
  return 2;
}
