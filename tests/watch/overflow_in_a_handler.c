/* heap-buffer-overflow write after 1 */
#include "error.h"

static char *block;

static void on_signal(int number) {
  (void)number;
  *aim(block + SIZE) = 1; /* ACCESS */
}

int main(void) {
  block = malloc(SIZE); /* ALLOCATED */
  signal(SIGUSR1, on_signal);
  raise(SIGUSR1);
}
