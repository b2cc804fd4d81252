/* Freed blocks that are held back serve when there is no other memory, and in their turn. */
#include "check.h"

#include <sys/resource.h>

static void *free_many(void *unused) {
  for (int i = 0; i < 20000; i++) free(memset(malloc((size_t)(i % 3000)), 1, (size_t)(i % 3000)));
  return unused;
}

int main(void) {
  enum { MOST = 200000, LARGE = 100000, SMALL = 1000 };
  static void *large[MOST], *small[MOST];
  pthread_t other;
  int count = 0, more = 0;
  CHECK(!pthread_create(&other, NULL, free_many, NULL));
  free_many(NULL);
  CHECK(!pthread_join(other, NULL));
  CHECK(!setrlimit(RLIMIT_AS, &(struct rlimit){400 << 20, 400 << 20}));
  while (count < MOST && (large[count] = malloc(LARGE))) count++;
  while (more < MOST && (small[more] = malloc(SMALL))) more++;
  CHECK(count > 8);
  for (int i = 0; i < 8; i++) free(large[i]);
  for (int i = 0; i < 8; i++) CHECK(malloc(LARGE));
  return 0;
}
