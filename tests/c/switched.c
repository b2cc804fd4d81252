/* A child that has itself recorded before it asks for anything; its parent is not recorded. */
#include "check.h"
#include "patalloc.h"

#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  void *before = malloc(1000);
  pid_t child = fork();
  if (!child) {
    CHECK(!patalloc_recording(1));
    void *volatile made = malloc(300001);
    free(made);
    CHECK(patalloc_recording(0));
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  free(before);
  return 0;
}
