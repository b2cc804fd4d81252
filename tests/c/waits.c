/* Four blocks, each live for a while, and then a while nothing. */
#include "check.h"

#include <time.h>

int main(void) {
  struct timespec time = {.tv_nsec = 100000000};
  for (int i = 0; i < 4; i++) {
    char *volatile made = malloc(100000);
    CHECK(made);
    nanosleep(&time, NULL);
    free(made);
    nanosleep(&time, NULL);
  }
  return 0;
}
