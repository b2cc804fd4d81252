/* Threads that allocate, resize and free, each other's blocks too; says how many of each there
 * were. arguments: threads, rounds; and how it ends: exit, _exit, kill, fork */
#include "check.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { SHARED = 64 };
static void *_Atomic shared[SHARED];
static _Atomic long mallocs, frees, resizes, callocs, aligned;
static int rounds;

static void *work(void *seed) {
  unsigned state = (unsigned)(size_t)seed * 2654435761u + 1;
  for (int i = 0; i < rounds; i++) {
    state = state * 1664525 + 1013904223;
    unsigned how = state >> 28, place = state >> 8 & (SHARED - 1);
    size_t size = 1 + (state >> 12 & 2047);
    void *made;
    if (how < 9) {
      made = malloc(size), mallocs++;
    } else if (how < 11) {
      made = calloc(1, size), callocs++;
    } else if (how < 12) {
      made = memalign(256, size), aligned++;
    } else {
      made = atomic_exchange(&shared[place], NULL);
      if (made)
        resizes++;
      else
        mallocs++;
      made = realloc(made, size);
    }
    CHECK(made);
    memset(made, 1, size);
    void *old = atomic_exchange(&shared[place], made);
    if (old) frees++;
    free(old);
  }
  return NULL;
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  int count = atoi(argv[1]);
  rounds = atoi(argv[2]);
  const char *how = argv[3];
  pthread_t threads[64];
  CHECK(count <= 64);
  for (int i = 0; i < count; i++)
    CHECK(!pthread_create(&threads[i], NULL, work, (void *)(size_t)(i + 1)));
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  printf("%ld %ld %ld %ld %ld\n", mallocs, callocs, aligned, frees, resizes);
  fflush(stdout);
  if (!strcmp(how, "kill")) kill(getpid(), SIGKILL);
  if (!strcmp(how, "_exit")) _exit(3);
  if (!strcmp(how, "fork") && !fork()) {
    for (int i = 0; i < 100; i++) shared[0] = malloc(12345);
    _exit(0);
  }
  return 0;
}
