/* A thread that is to be cancelled goes on through malloc and free: neither is a cancellation point
 * (pthreads(7)), though both open, read and write files. */
#include "check.h"

static _Atomic bool cancelled, through;

static void *allocate(void *argument) {
  while (!cancelled) continue;
  for (size_t size = 200000; size < 30000000; size += size / 3) {
    unsigned char *block = malloc(size);
    CHECK(block && holds(block, size, expected()));
    memset(block, 1, size);
    block = realloc(block, size * 2);
    CHECK(block && holds(block, size, 1));
    free(block);
  }
  through = true;
  pthread_testcancel();
  return argument;
}

int main(void) {
  pthread_t thread;
  void *result;
  CHECK(!pthread_create(&thread, NULL, allocate, NULL));
  CHECK(!pthread_cancel(thread));
  cancelled = true;
  CHECK(!pthread_join(thread, &result));
  CHECK(through && result == PTHREAD_CANCELED);
  return 0;
}
