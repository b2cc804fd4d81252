/* What goes on at the same time, with report=yes. Prints "fine".
 *
 * meanwhile signals
 *   A process forks; a handler calls sigaction(2) of SIGSEGV, as it may, again and again.
 * meanwhile report
 *   It forks while another thread reports a fault, and takes its time: its standard error is a full
 *   pipe. The child faults, too, and must end by that.
 * meanwhile stack
 *   The same, but a stack overflows, whose handler needs its alternate one. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
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

static _Atomic int reporter;
static void *report(void *unused) {
  reporter = (int)syscall(SYS_gettid);
  overflow();
  return unused;
}

/* Whether the thread waits in write(2), as its /proc/PID/task/TID/syscall tells (proc(5)). */
static bool is_writing(int thread) {
  char path[64], text[64] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/syscall", thread);
  FILE *file = fopen(path, "r");
  bool read = file && fgets(text, sizeof text, file);
  if (file) fclose(file);
  return read && atoi(text) == SYS_write && *text >= '0' && *text <= '9';
}

enum { ERRORS = 9 }; /* standard error as it was */

/* From the start on, as reports go to what it was then. */
static void start_with_a_full_pipe(char **argv) {
  static char junk[PAGE];
  int ends[2];
  if (getenv("FULL")) return;
  CHECK(dup2(STDERR_FILENO, ERRORS) == ERRORS);
  CHECK(!pipe(ends) && !fcntl(ends[1], F_SETFL, O_NONBLOCK));
  while (write(ends[1], junk, sizeof junk) > 0) {
  }
  CHECK(!fcntl(ends[1], F_SETFL, 0) && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
  setenv("FULL", "1", 1);
  execv("/proc/self/exe", argv);
}

/* Which it is at for ever. */
static void begin_a_report(void) {
  pthread_t thread;
  CHECK(!pthread_create(&thread, NULL, report, NULL));
  while (!reporter || !is_writing(reporter)) usleep(1000);
}

static void fork_during_a_report(void) {
  int status;
  begin_a_report();
  pid_t child = fork();
  if (!child) {
    dup2(ERRORS, STDERR_FILENO);
    overflow();
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void on_overflow(int signal) {
  (void)signal;
  CHECK(write(STDOUT_FILENO, "fine\n", 5) == 5);
  _exit(0);
}

static int deeper(volatile int depth) {
  volatile char frame[PAGE];
  frame[0] = (char)depth;
  return depth < INT32_MAX ? deeper(depth + 1) + frame[0] : 0;
}

static void overflow_the_stack(void) {
  static char alternate[1 << 16];
  struct sigaction action = {.sa_handler = on_overflow, .sa_flags = SA_ONSTACK};
  CHECK(!sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = sizeof alternate}, NULL));
  CHECK(!sigaction(SIGSEGV, &action, NULL));
  CHECK(!setrlimit(RLIMIT_STACK, &(struct rlimit){1 << 20, 1 << 20}));
  begin_a_report();
  deeper(0);
}

static const struct test_case kinds[] = {{"signals", fork_among_signals},
                                         {"report", fork_during_a_report},
                                         {"stack", overflow_the_stack}};

int main(int argc, char **argv) {
  CHECK(argc == 2);
  if (strcmp(argv[1], "signals")) start_with_a_full_pipe(argv);
  RUN_CASE(kinds, argv[1]);
  CHECK(write(STDOUT_FILENO, "fine\n", 5) == 5);
  _exit(0); /* a thread may be stuck */
}
