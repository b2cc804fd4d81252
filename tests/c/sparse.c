/* Threads at the cycle where they meet in the kernel: a few pages of a block are written, and it is
 * freed. Which pages changes now and then; each block must come without a trace of the last one.
 * Meanwhile the main thread forks: a child has all of what was freed, clean.
 *
 *   sparse THREADS CYCLES */
#include "check.h"

#include <sys/wait.h>

#ifdef HEAP
patalloc_heap *heap;
#endif

enum { SIZE = 1500000, PAGE = 4096, PAGES = 5 };
static const size_t pages[PAGES] = {0, 1, 8, 100, 360};
static long cycles;

static void cycle(long i) {
  unsigned char *block = malloc(SIZE);
  CHECK(block);
  for (int page = 0; page < PAGES; page++) CHECK(holds(block + pages[page] * PAGE, 64, expected()));
  block[0] = 1;
  if (i % 3 == 0) block[pages[i / 3 % PAGES] * PAGE] = 1;
  free(block);
}

static void *work(void *unused) {
  (void)unused;
  for (long i = 0; i < cycles; i++) cycle(i);
  return NULL;
}

int main(int argc, char **argv) {
  enum { FORKS = 10, THREADS_MOST = 16 };
  pthread_t threads[THREADS_MOST];
  CHECK(argc == 3);
  int count = atoi(argv[1]);
  CHECK(count <= THREADS_MOST);
  cycles = atol(argv[2]);
#ifdef HEAP
  heap = patalloc_heap_create(getenv("HEAP_OPTIONS"), NULL, 0);
#endif
  for (int i = 0; i < count; i++) CHECK(!pthread_create(&threads[i], NULL, work, NULL));
  for (int i = 0; i < FORKS; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
      for (int block = 0; block < 100; block++) cycle(block);
      _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
  }
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  return 0;
}
