/* Blocks freed beside another thread, which takes errands; a fork, whose child a debugger may
 * follow; and 64 blocks with a name in each, of which a dump is to have all.
 *
 *   spawner          prints "parent of 3"
 *   spawner wait     prints "ready" before all that and waits */
#include "check.h"

#include <sys/wait.h>

enum { BLOCKS = 64, SIZE = 200 << 10 };
static char *blocks[BLOCKS];

static void *use_blocks(void *unused) {
  for (int i = 0; i < 20; i++) {
    char *block = malloc(1 << 20);
    block[0] = block[i * 40000] = 1;
    free(block);
  }
  return unused;
}

__attribute__((noinline)) void in_child(void) {
  free(memset(malloc(3 << 20), 1, 5));
}

int main(int argc, char **argv) {
  pthread_t other;
  int status;
  for (int i = 0; i < BLOCKS; i++) {
    CHECK((blocks[i] = malloc(SIZE)));
    memset(blocks[i], 'a', SIZE);
    snprintf(blocks[i], SIZE, "block number %d", i);
  }
  CHECK(!pthread_create(&other, NULL, use_blocks, NULL));
  CHECK(!pthread_join(other, NULL));
  if (argc > 1 && !strcmp(argv[1], "wait")) {
    puts("ready");
    fflush(stdout);
    pause();
  }
  pid_t child = fork();
  if (!child) {
    in_child();
    _exit(3);
  }
  CHECK(waitpid(child, &status, 0) == child);
  printf("parent of %d\n", WEXITSTATUS(status));
  return 0;
}
