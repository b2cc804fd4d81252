/* No error in it: all memory is written. One run in N behaves otherwise, in a way that the second
 * argument names. */
#include "check.h"

#include <pthread.h>
#include <time.h>

static void *say(void *number) {
  usleep((unsigned)rand() % 3000);
  printf("task %d done\n", *(int *)number);
  return NULL;
}

static void in_threads(void) {
  enum { THREADS = 8 };
  pthread_t threads[THREADS];
  int numbers[THREADS];
  for (int i = 0; i < THREADS; i++) {
    numbers[i] = i;
    CHECK(!pthread_create(&threads[i], NULL, say, &numbers[i]));
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

int main(int argc, char **argv) {
  CHECK(argc > 2);
  int n = atoi(argv[1]);
  const char *what = argv[2];
  struct timespec now;
  for (int i = 0; i < 200; i++) {
    char *block = calloc((size_t)(50 + i), 1);
    block[0] = 1;
    free(block);
  }
  clock_gettime(CLOCK_REALTIME, &now);
  bool other = now.tv_nsec / 7 % n == 0;
  srand((unsigned)now.tv_nsec);
  if (!strcmp(what, "duration")) printf("200 passed in 0.1%d s\n", other);
  if (!strcmp(what, "word")) printf("it is %s\n", other ? "warm" : "cold");
  if (!strcmp(what, "line")) printf("begin\n%send\n", other ? "one thing more\n" : "");
  if (!strcmp(what, "status")) return other;
  if (!strcmp(what, "all"))
    printf("%ld: process %d at %p wrote /tmp/file-%d.txt\n", now.tv_nsec, getpid(), (void *)&now,
           rand());
  if (!strcmp(what, "threads")) in_threads();
  if (!strcmp(what, "leaves")) {
    if (!fork()) {
      sleep(97);
      return 0;
    }
    puts("parent is done");
  }
}
