/* 8-12 */
#include "bug.h"

/* Other threads allocate all the while, from one place in any order. */
static void *allocate(void *unused) {
  for (int i = 0; i < 2000; i++) {
    char *block = malloc(64);
    memset(block, 1, 64);
    if (i % 100 == 0) usleep(100);
    free(block);
  }
  return unused;
}

int main(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, allocate, NULL);
  usleep(500);
  int *numbers = get(4 * sizeof *numbers); /* CULPRIT */
  numbers[0] = numbers[1] = 1;
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  printf("%d\n", numbers[0] + numbers[1] + numbers[2]);
}
