/* Threads allocate without pause while the main one forks; each child has a working heap, and what
 * parent and child write stays their own.
 *
 *   fork [FORKS]     60 of each kind, where it does not say */
#include "check.h"

#include <spawn.h>
#include <sys/wait.h>

enum { THREADS = 3, SIZE = 400000 };
extern char **environ;
static _Atomic bool over;

static void *churn(void *argument) {
  unsigned i = (unsigned)(uintptr_t)argument;
  while (!over) {
    unsigned char *block = malloc(140000 + 5000 * (i++ % 100));
    CHECK(block && block[0] == expected());
    block[0] = 1;
    block = realloc(block, 800000);
    CHECK(block && block[0] == 1);
    free(block);
    free(malloc(i % 5000));
  }
  return NULL;
}

static int in_child(unsigned char *shared) {
  CHECK(holds(shared, SIZE, 7));
  memset(shared, 9, SIZE);
  for (int i = 0; i < 20; i++) {
    unsigned char *block = malloc(SIZE * (size_t)(i + 1));
    CHECK(block && holds(block, SIZE * (size_t)(i + 1), expected()));
    block[1] = 2;
    block = realloc(block, SIZE * (size_t)(i + 2));
    CHECK(block && block[1] == 2);
    free(block);
  }
  free(shared);
  return 0;
}

static void wait_for(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv) {
  int forks = argc > 1 ? atoi(argv[1]) : 60;
  pthread_t threads[THREADS];
  unsigned char *shared = malloc(SIZE);
  CHECK(shared);
  memset(shared, 7, SIZE);
  for (int i = 0; i < THREADS; i++)
    CHECK(!pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)i));
  for (int i = 0; i < forks; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) _exit(in_child(shared));
    wait_for(child);
    CHECK(holds(shared, SIZE, 7));
  }
  char *command[] = {"true", NULL};
  for (int i = 0; i < forks; i++) {
    pid_t child;
    CHECK(!posix_spawnp(&child, "true", NULL, NULL, command, environ));
    wait_for(child);
    child = vfork();
    if (!child) {
      execvp("true", command);
      _exit(1);
    }
    wait_for(child);
  }
  over = true;
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  return 0;
}
