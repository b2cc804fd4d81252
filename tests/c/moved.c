/* Small blocks whose pages move as they are freed (guard_small=all:delay=0), and what takes away
 * what they move by. Prints nothing; blocks are checked for what they hold.
 *
 *   moved closed     the program closes all descriptors that it has not opened
 *   moved forked     by a system call, past all handlers; the child frees, and its parent's stay
 *   moved shared     a page that a forked child shares can't be moved */
#include "check.h"

#include <sys/syscall.h>
#include <sys/wait.h>

enum { BLOCKS = 3000, SIZE = 100 };
static unsigned char *blocks[BLOCKS];

static void fill(int seed) {
  for (int i = 0; i < BLOCKS; i++) {
    free(blocks[i]);
    CHECK((blocks[i] = malloc(SIZE)) && holds(blocks[i], SIZE, 0xab));
    memset(blocks[i], (seed + i) & 0x7f, SIZE);
  }
}

static void check(int seed) {
  for (int i = 0; i < BLOCKS; i++) CHECK(holds(blocks[i], SIZE, (seed + i) & 0x7f));
}

/* Every second one, so that pages move among those that stay. */
static void replace(int seed) {
  for (int i = 0; i < BLOCKS; i += 2) {
    free(blocks[i]);
    CHECK((blocks[i] = malloc(SIZE)) && holds(blocks[i], SIZE, 0xab));
    memset(blocks[i], (seed + i) & 0x7f, SIZE);
  }
}

static void use(int seed) {
  for (int times = 0; times < 20; times++) {
    replace(seed);
    check(seed);
  }
}

static void check_guards(void) {
  unsigned char *volatile block = malloc(16); /* or the compiler objects */
  CHECK(!readable(block + 16));
  free(block);
  CHECK(!readable(block));
}

static void go_on(pid_t child) {
  int status;
  CHECK(child >= 0);
  check(0);
  use(0);
  check(0);
  if (!child) _exit(0);
  CHECK(waitpid(child, &status, 0) == child && !status);
  use(0);
  check_guards();
}

static void closed(void) {
  fill(1);
  use(1);
  CHECK(!syscall(SYS_close_range, 3u, ~0u, 0u));
  use(1);
  free(malloc(SIZE));
  fill(2); /* in chunks that are new */
  use(2);
  check_guards();
  fill(0);
  go_on(fork()); /* who has guards of other kinds, too */
}

static void forked(void) {
  fill(0);
  use(0);
  go_on((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

/* And has guards of its own, for blocks that there were as for new ones. */
static void shared(void) {
  fill(0);
  use(0);
  unsigned char *volatile freed = malloc(SIZE);
  free(freed);
  pid_t child = fork();
  if (!child) CHECK(!readable(freed) && !readable(blocks[0] + ((SIZE + 15) & ~15)));
  if (!child) check_guards();
  go_on(child);
}

static const struct test_case cases[] = {
    {"closed", closed}, {"forked", forked}, {"shared", shared}};

int main(int argc, char **argv) {
  RUN_CASE(cases, argc > 1 ? argv[1] : "");
  return 0;
}
