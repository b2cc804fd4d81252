/* Prints how many page faults it takes to use some small blocks again and again, after a large one
 * was freed. With an argument, the program sets a threshold of its own before. */
#include "check.h"

#include <malloc.h>
#include <sys/resource.h>

enum { ROUNDS = 100, BLOCKS = 10, SIZE = 100000 };

static long faults(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

static void use(void) {
  void *blocks[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) memset(blocks[i] = malloc(SIZE), 1, SIZE);
  for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
}

int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1) mallopt(M_TRIM_THRESHOLD, 128 << 10);
  free(malloc(1 << 20));
  use();
  long before = faults();
  for (int i = 0; i < ROUNDS; i++) use();
  printf("%ld\n", faults() - before);
  return 0;
}
