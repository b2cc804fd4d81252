/* 12-16 */
#include "bug.h"

int main(void) {
  pid_t child = fork();
  if (!child) {
    int *numbers = get(4 * sizeof *numbers); /* CULPRIT */
    numbers[0] = 1;
    printf("%d %d\n", numbers[0], numbers[3]);
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, NULL, 0);
}
