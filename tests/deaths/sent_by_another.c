/* fatal-signal: SIGSEGV, sent by process \d+ */
#include "death.h"

static void act(void) {
  pid_t child = fork();
  if (!child) _exit(usleep(100000) || good ? 0 : kill(getppid(), SIGSEGV));
  while (waitpid(child, NULL, 0) != child) { /* HERE */
  }
}
