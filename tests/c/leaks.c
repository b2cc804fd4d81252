/* Blocks that are never freed, and what points to them.
 *
 *   leaks lost        3 of 40 bytes and 3 of 200,000, which nothing points to
 *   leaks kept        the same, from a global variable, a stack, another block, thread-local memory
 *   leaks inside      by pointers into their middle, and from zeros and a block that was grown
 *   leaks freed       nothing is left */
#include "check.h"

enum { SMALL = 40, LARGE = 200000, COUNT = 4 };

static void *volatile kept[COUNT];
static _Thread_local void *volatile local;

__attribute__((noinline)) static void *small(void) {
  return memset(malloc(SMALL), 1, SMALL); /* SMALL */
}

__attribute__((noinline)) static void *large(void) {
  return memset(malloc(LARGE), 1, LARGE); /* LARGE */
}

/* Overwrites what calls have left of pointers on the stack. */
__attribute__((noinline)) static void forget(void) {
  volatile char room[1 << 14];
  memset((void *)room, 0, sizeof room);
}

static void *keep_here(void *unused) {
  void *volatile here = small();
  local = small();
  pause();
  return here ? unused : NULL;
}

__attribute__((noinline)) static void lose(void) {
  void *volatile one;
  for (int i = 0; i < 3; i++) one = small();
  for (int i = 0; i < 3; i++) one = large();
  one = NULL;
  (void)one;
}

int main(int argc, char **argv) {
  pthread_t thread;
  CHECK(argc == 2);
  if (!strcmp(argv[1], "lost")) lose();
  if (!strcmp(argv[1], "kept")) {
    kept[0] = large();
    void **inner = malloc(1 << 18);
    kept[1] = inner;
    inner[5000] = small();
    CHECK(!pthread_create(&thread, NULL, keep_here, NULL));
    usleep(100000);
  }
  if (!strcmp(argv[1], "inside")) {
    kept[0] = (char *)large() + 12345;
    kept[1] = (char *)small() + SMALL - 1;
    kept[2] = (char *)calloc(3, 7) + 7;
    kept[3] = realloc(small(), 3 * SMALL);
  }
  if (!strcmp(argv[1], "freed")) {
    void *all[] = {small(), large(), calloc(1, 9), realloc(malloc(5), 5000)};
    for (int i = 0; i < COUNT; i++) free(all[i]);
  }
  forget();
  return 0;
}
