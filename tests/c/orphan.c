/* A forked child, all alone, goes on where its parent's refpage cannot follow (backend=uffd): its
 * blocks grow in an arena that nobody has used. Run preloaded; prints nothing. */
#include "check.h"

#include <sys/wait.h>

static void grow(void) {
  unsigned char *block = malloc(200000);
  CHECK(block);
  memset(block, 0x11, 200000);
  CHECK((block = realloc(block, 900000)) && holds(block, 200000, 0x11));
  CHECK(holds(block + 204800, 900000 - 204800, expected()));
  free(block);
}

/* In a thread of another shard. */
static void *fork_and_grow(void *unused) {
  int status;
  pid_t child = fork();
  CHECK(child >= 0);
  if (!child) {
    grow();
    sleep(2); /* what could not be had is tried for again after a second */
    grow();
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child && !status);
  return unused;
}

int main(void) {
  pthread_t thread;
  free(malloc(300000));
  CHECK(!pthread_create(&thread, NULL, fork_and_grow, NULL) && !pthread_join(thread, NULL));
  return 0;
}
