/* Forks while other things go on, with report=yes. Prints "fine".
 *
 *   forking signals     a handler calls sigaction(2) of SIGSEGV, as it may, again and again
 *   forking report      another thread reports a fault, and takes its time: its standard error is a
 *                       full pipe. The child faults, too, and must end by that */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { SIZE = 1 << 20, PAGE = 4096 };

static void overflow(void) {
  volatile char *block = malloc(SIZE);
  block[SIZE + PAGE / 2] = 1;
}

static void ask(int signal) {
  struct sigaction action;
  (void)signal;
  sigaction(SIGSEGV, NULL, &action);
}

static void fork_among_signals(void) {
  enum { FORKS = 2000 };
  struct itimerval often = {.it_interval = {.tv_usec = 20}, .it_value = {.tv_usec = 20}};
  signal(SIGALRM, ask);
  free(malloc(SIZE)); /* from here on faults are watched */
  CHECK(!setitimer(ITIMER_REAL, &often, NULL));
  for (int i = 0; i < FORKS; i++) {
    pid_t child = fork();
    if (!child) _exit(0);
    while (waitpid(child, NULL, 0) < 0) CHECK(errno == EINTR);
  }
  setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
}

static void *report(void *unused) {
  overflow();
  return unused;
}

static void fork_during_a_report(void) {
  static char junk[PAGE];
  int ends[2], errors = dup(STDERR_FILENO), status;
  pthread_t thread;
  CHECK(!pipe(ends) && !fcntl(ends[1], F_SETFL, O_NONBLOCK));
  while (write(ends[1], junk, sizeof junk) > 0) {
  }
  CHECK(!fcntl(ends[1], F_SETFL, 0) && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
  CHECK(!pthread_create(&thread, NULL, report, NULL));
  usleep(300000); /* it is stuck in its report by then */
  pid_t child = fork();
  if (!child) {
    dup2(errors, STDERR_FILENO);
    overflow();
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  (strcmp(argv[1], "signals") ? fork_during_a_report : fork_among_signals)();
  CHECK(write(STDOUT_FILENO, "fine\n", 5) == 5);
  _exit(0); /* a thread may be stuck */
}
