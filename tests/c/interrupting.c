/* Signals that have system calls fail (siginterrupt(3)): by those that are given by their numbers.
 */
#include "check.h"

#include <signal.h>
#include <sys/time.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static void nothing(int number) {
  (void)number;
}

static void *send(void *number) {
  usleep(200000);
  kill(getpid(), (int)(long)number);
  return NULL;
}

int main(int argc, char **argv) {
  struct sigaction now;
  sigset_t mask;
  pthread_t thread;
  int ends[2], number = atoi(argv[argc - 1]);
  char byte;
  CHECK(!pipe(ends));
  CHECK(!siginterrupt(number, 1) && signal(number, nothing) == SIG_DFL);
  CHECK(!sigaction(number, NULL, &now) && !(now.sa_flags & SA_RESTART));
  sigemptyset(&mask);
  sigaddset(&mask, number);
  CHECK(!pthread_sigmask(SIG_BLOCK, &mask, NULL));
  CHECK(!pthread_create(&thread, NULL, send, (void *)(long)number));
  CHECK(!pthread_sigmask(SIG_UNBLOCK, &mask, NULL));
  CHECK(read(ends[0], &byte, 1) == -1 && errno == EINTR);
  CHECK(!pthread_join(thread, NULL));
  CHECK(!siginterrupt(number, 0) && !sigaction(number, NULL, &now) && now.sa_flags & SA_RESTART);
  CHECK(!sigignore(number) && !sigaction(number, NULL, &now) && now.sa_handler == SIG_IGN);
  return 0;
}
