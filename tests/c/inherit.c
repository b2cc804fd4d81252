/* What a forked child reads in a page of its parent's that nobody has touched; new blocks are as
 * ever.
 *
 *   inherit BYTE */
#include "check.h"

#include <sys/wait.h>

int main(int argc, char **argv) {
  CHECK(argc == 2);
  size_t size = 1 << 20;
  int status;
  unsigned char *block = malloc(size);
  CHECK(block && block[0] == expected());
  block[1] = 7;
  pid_t child = fork();
  CHECK(child >= 0);
  if (!child) {
    CHECK(block[0] == expected() && block[1] == 7);
    CHECK(block[size / 2] == strtoul(argv[1], NULL, 0));
    free(block);
    for (int i = 0; i < 20; i++) {
      unsigned char *fresh = malloc(size);
      CHECK(fresh && holds(fresh, size, expected()));
      memset(fresh, 7, size);
      CHECK((fresh = realloc(fresh, 3 * size)) && holds(fresh + size, 2 * size, expected()));
      free(fresh);
    }
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child && !status);
  CHECK(block[1] == 7 && holds(block + 2, size - 2, expected()));
  free(block);
  return 0;
}
