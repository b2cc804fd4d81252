/* Says at once what it reads of memory that it never wrote, and goes on for some time; then it
 * notes in a file that it has come to its end. arguments: that, how many blocks it has,
 * milliseconds */
#include "check.h"

#include <time.h>

int main(int count, char **arguments) {
  CHECK(count == 4);
  int blocks = atoi(arguments[2]), odd = 0;
  for (int i = 0; i < blocks; i++) {
    unsigned char *made = malloc(64);
    CHECK(made);
    if (i == blocks / 3) odd = made[40] >> 3 & 1;
  }
  printf("begin\nodd: %d\nmore\n", odd);
  int milliseconds = atoi(arguments[3]);
  nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000L}, NULL);
  FILE *file = fopen(arguments[1], "a");
  CHECK(file);
  fputc('x', file);
  fclose(file);
  puts("end");
  return 0;
}
