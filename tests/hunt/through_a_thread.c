/* 100-104 */
#include "bug.h"

static void *print(void *numbers) {
  printf("%d\n", ((int *)numbers)[25]);
  return NULL;
}

int main(void) {
  pthread_t thread;
  void *numbers = get(50 * sizeof(int)); /* CULPRIT */
  memset(numbers, 1, 100);
  pthread_create(&thread, NULL, print, numbers);
  pthread_join(thread, NULL);
}
