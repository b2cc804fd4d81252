/* What a program sees of descriptors while another thread allocates: no number is taken that it did
 * not take itself, none of its own is closed, and no child inherits another. Prints nothing.
 *
 *   stolen */
#include "check.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>

static _Atomic bool over;

/* Blocks of ever other sizes, with pages written here and there: all that makes the heap look. */
static void *allocate(void *unused) {
  size_t size = 200000;
  while (!over) {
    size = 200000 + size * 7919 % 3000000;
    unsigned char *block = malloc(size);
    CHECK(block);
    for (size_t at = 0; at < size; at += size / 9) block[at] = 1;
    memset(block, 1, size / 3);
    free(block);
  }
  return unused;
}

static int count_open(void) {
  int count = 0;
  for (int i = 0; i < 1024; i++) count += fcntl(i, F_GETFD) >= 0;
  return count;
}

int main(void) {
  enum { SECONDS = 3, NUMBER = 0 };
  pthread_t thread;
  int null = open("/dev/null", O_RDONLY), before = count_open();
  CHECK(null > NUMBER);
  CHECK(!pthread_create(&thread, NULL, allocate, NULL));
  time_t end = time(NULL) + SECONDS;
  for (unsigned round = 0; time(NULL) < end; round++) {
    close(NUMBER);
    CHECK(dup2(null, NUMBER) == NUMBER);
    for (volatile int i = 0; i < 200; i++) {
    }
    CHECK(fcntl(NUMBER, F_GETFD) >= 0);
    close(NUMBER);
    CHECK(open("/dev/null", O_RDONLY) == NUMBER);
    if (round % 64) continue;
    pid_t child = fork();
    if (!child) _exit(count_open() != before);
    int status;
    CHECK(waitpid(child, &status, 0) == child && !status);
  }
  over = true;
  CHECK(!pthread_join(thread, NULL) && count_open() == before);
  return 0;
}
