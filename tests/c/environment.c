/* The program changes its environment while another thread frees blocks: nobody else may read it
 * then (environ(7)).
 *
 *   environment [COUNT]    how often; then without LD_PRELOAD from the first time on */
#include "check.h"

static _Atomic bool over;

static void *use_blocks(void *unused) {
  while (!over) {
    char *block = malloc(1 << 20);
    block[0] = block[500000] = 1;
    free(block);
  }
  return unused;
}

int main(int argc, char **argv) {
  enum { VARIABLES = 1500 };
  int rounds = argc > 1 ? (int)strtoul(argv[1], NULL, 0) : 100;
  char name[32];
  pthread_t other;
  CHECK(!pthread_create(&other, NULL, use_blocks, NULL));
  for (int round = 0; round < rounds; round++) {
    CHECK(!clearenv());
    for (int i = 0; i < VARIABLES; i++) {
      snprintf(name, sizeof name, "V%d_%d", round, i);
      CHECK(!setenv(name, "x", 1));
    }
  }
  over = true;
  CHECK(!pthread_join(other, NULL));
  puts("fine");
  return 0;
}
