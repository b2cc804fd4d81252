/* heap-buffer-overflow write after 1 */
#include "error.h"

static void *overflow(void *block) {
  *aim((char *)block + SIZE) = 1; /* ACCESS */
  return NULL;
}

int main(void) {
  pthread_t thread;
  void *block = malloc(SIZE); /* ALLOCATED */
  pthread_create(&thread, NULL, overflow, block);
  pthread_join(thread, NULL);
}
