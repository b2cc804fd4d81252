/* heap-buffer-overflow write after 1 */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE); /* ALLOCATED */
  pid_t child = fork();
  if (!child) *aim(block + SIZE) = 1; /* ACCESS */
  int status;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
