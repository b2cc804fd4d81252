/* What is said of allocations, frees and the error itself: by the first thread, by one that says
 * something of its own, by one that says nothing. Prints "fine" without the library, too. */
#include "check.h"
#include "patalloc.h"

#include <pthread.h>

static void overflow(void) {
  volatile char *block = malloc(200000);
  CHECK(block);
  patalloc_note("overrunning");
  block[200000] = 1;
}

static void *say(void *unused) {
  patalloc_note("a request");
  overflow();
  return unused;
}

static void *say_nothing(void *unused) {
  volatile char *block = malloc(200000);
  CHECK(block);
  block[200000] = 1;
  return unused;
}

static void in_a_thread(void *(*function)(void *)) {
  pthread_t thread;
  CHECK(!pthread_create(&thread, NULL, function, NULL) && !pthread_join(thread, NULL));
}

int main(void) {
  static char longest[5000];
  if (patalloc_process_note) { /* else a block's end is not to be overrun */
    in_a_thread(say_nothing);
    patalloc_note("the first test");
    overflow();
    in_a_thread(say);
    in_a_thread(say_nothing);
    memset(longest, 'x', sizeof longest - 1);
    patalloc_note(longest);
    in_a_thread(say_nothing);
    patalloc_note(NULL);
    in_a_thread(say_nothing);
  }
  patalloc_note("nothing");
  puts("fine");
  return 0;
}
