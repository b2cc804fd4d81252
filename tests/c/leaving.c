/* A program that ends while its threads allocate and free. */
#include "check.h"

static void *work(void *unused) {
  for (int i = 0;; i++) {
    char *block = malloc((size_t)(i % 300));
    memset(block, 1, (size_t)(i % 300));
    free(block);
  }
  return unused;
}

int main(void) {
  pthread_t thread;
  for (int i = 0; i < 3; i++) CHECK(!pthread_create(&thread, NULL, work, NULL));
  usleep(20000);
  return 0;
}
