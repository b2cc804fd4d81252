/* A file that could not be made at first can be by a forked child; which must not take it for as
 * long as the table that the parent has. Run preloaded, with an address-space limit; the argument
 * is the directory. */
#include "check.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

int main(int argc, char **argv) {
  enum { SIZE = 1 << 20 };
  int status;
  CHECK(argc == 2);
  free(malloc(300000));
  char *own = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(own != MAP_FAILED && strcpy(own, "mine") && !mkdir(argv[1], 0700));
  pid_t child = fork();
  if (!child) {
    free(malloc(300000));
    _exit(strcmp(own, "mine") != 0);
  }
  CHECK(waitpid(child, &status, 0) == child && !status);
  return 0;
}
