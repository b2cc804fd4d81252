/* What signals and their functions do, told in lines that must be the same with and without the
 * library. With the argument "late", handlers are set before the first large block, else after. */
#include "check.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static char **arguments;
static volatile int calls;
static stack_t alternate;

static void large_block(void) {
  free(malloc(1 << 20));
}

static const char *name_of(void (*handler)(int));

static void tell_mask(const char *when) {
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  printf("  %s blocked: SEGV %d BUS %d USR2 %d\n", when, sigismember(&mask, SIGSEGV),
         sigismember(&mask, SIGBUS), sigismember(&mask, SIGUSR2));
}

static void tell_action(int number) {
  struct sigaction now;
  CHECK(sigaction(number, NULL, &now) == 0);
  enum { RESTORER = 0x4000000 }; /* set by the C library for the kernel */
  printf("  action %s, flags %x, mask of USR2 %d\n", name_of(now.sa_handler),
         (unsigned)now.sa_flags & ~(unsigned)RESTORER, sigismember(&now.sa_mask, SIGUSR2));
}

static void fault(void) {
  *(volatile int *)8 = 1;
}

static void bus_fault(void) {
  int file = open("/proc/self/exe", O_RDONLY);
  volatile char *past = mmap(NULL, 1 << 24, PROT_READ, MAP_PRIVATE, file, 0);
  CHECK(past != MAP_FAILED);
  (void)past[(1 << 24) - 1];
}

static void on_simple(int number) {
  calls++;
  printf("  simple handler of %d\n", number);
  tell_mask("in it");
  fflush(stdout);
  if (calls == 2) _exit(20);
}

static void on_other(int number) {
  (void)number;
}

static void on_info(int number, siginfo_t *info, void *context) {
  printf("  handler of %d, code %d, at %p, context %d\n", number, info->si_code,
         info->si_code > 0 && number == SIGSEGV ? info->si_addr : NULL, context != NULL);
  tell_mask("in it");
  char here;
  printf("  on the alternate stack: %d\n",
         alternate.ss_sp && (size_t)(&here - (char *)alternate.ss_sp) < alternate.ss_size);
  fflush(stdout);
  _exit(21);
}

static const char *name_of(void (*handler)(int)) {
  if (handler == SIG_DFL) return "default";
  if (handler == SIG_IGN) return "ignore";
  if (handler == SIG_ERR) return "error";
  if (handler == SIG_HOLD) return "hold";
  if (handler == on_simple) return "simple";
  if (handler == on_other) return "other";
  return handler == (void (*)(int))(void (*)(void))on_info ? "info" : "unknown";
}

static void set(int number, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  sigaddset(&action.sa_mask, SIGUSR2);
  CHECK(sigaction(number, &action, NULL) == 0);
  tell_action(number);
}

static void set_info(int number, int flags) {
  set(number, (void (*)(int))(void (*)(void))on_info, flags | SA_SIGINFO);
}

static void use_alternate_stack(void) {
  alternate = (stack_t){.ss_sp = malloc(100000), .ss_size = 100000};
  CHECK(sigaltstack(&alternate, NULL) == 0);
}

static void act_default(void) {
  fault();
}

static void act_ignored(void) {
  set(SIGSEGV, SIG_IGN, 0);
  raise(SIGSEGV);
  printf("  survived\n");
  fflush(stdout);
  fault();
}

static void act_info(void) {
  set_info(SIGSEGV, 0);
  fault();
}

static void act_simple(void) {
  set(SIGSEGV, on_simple, 0);
  fault(); /* twice, as the handler returns */
}

static void act_reset(void) {
  set(SIGSEGV, on_simple, SA_RESETHAND);
  fault();
}

static void act_nested(void) {
  set(SIGSEGV, on_simple, SA_NODEFER);
  fault();
}

static void act_alternate(void) {
  use_alternate_stack();
  set_info(SIGSEGV, SA_ONSTACK);
  fault();
}

static void act_not_alternate(void) {
  use_alternate_stack();
  set_info(SIGSEGV, 0);
  fault();
}

static void act_bus(void) {
  bus_fault();
}

static void act_bus_info(void) {
  set_info(SIGBUS, 0);
  bus_fault();
}

static void act_raise(void) {
  raise(SIGSEGV);
}

static void act_raise_info(void) {
  set_info(SIGSEGV, SA_RESTART);
  raise(SIGSEGV);
}

static void act_kill(void) {
  kill(getpid(), SIGBUS);
}

static void act_functions(void) {
  printf("  signal: %s\n", name_of(signal(SIGSEGV, on_simple)));
  tell_action(SIGSEGV);
  printf("  signal: %s\n", name_of(signal(SIGSEGV, on_other)));
  printf("  sysv_signal: %s\n", name_of(sysv_signal(SIGSEGV, on_simple)));
  tell_action(SIGSEGV);
  printf("  ssignal: %s\n", name_of(ssignal(SIGSEGV, SIG_IGN)));
  printf("  signal: %s\n", name_of(signal(SIGSEGV, SIG_DFL)));
  printf("  signal of USR1: %s\n", name_of(signal(SIGUSR1, on_simple)));
  printf("  signal of USR1: %s\n", name_of(signal(SIGUSR1, SIG_DFL)));
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#pragma GCC diagnostic ignored "-Wrestrict"
  printf("  sigset: %s\n", name_of(sigset(SIGSEGV, on_simple)));
  printf("  sigset: %s\n", name_of(sigset(SIGSEGV, SIG_HOLD)));
  tell_mask("held");
  printf("  sigset: %s\n", name_of(sigset(SIGSEGV, on_other)));
  tell_mask("then");
  tell_action(SIGSEGV);
  struct sigaction action = {.sa_handler = on_simple}, *same = &action;
  CHECK(sigaction(SIGSEGV, &action, same) == 0);
  printf("  old action in the same place: %s\n", name_of(action.sa_handler));
  int failed = sigaction(99, &action, NULL);
  printf("  sigaction of 99: %d, errno %d\n", failed, errno);
}

/* A child of vfork has its own actions. */
static void act_vfork(void) {
  set(SIGSEGV, on_simple, 0);
  pid_t child = vfork();
  if (!child) {
    struct sigaction action = {.sa_handler = SIG_IGN};
    _exit(sigaction(SIGSEGV, &action, NULL));
  }
  waitpid(child, NULL, 0);
  tell_action(SIGSEGV);
}

static void act_fork(void) {
  set(SIGSEGV, on_simple, 0);
  fflush(stdout);
  pid_t child = fork();
  if (!child) set_info(SIGSEGV, 0), fault();
  int status;
  waitpid(child, &status, 0);
  printf("  the child's status %x\n", (unsigned)status);
  tell_action(SIGSEGV);
}

static void act_exec(void) {
  set(SIGSEGV, SIG_IGN, 0);
  set(SIGBUS, on_simple, 0);
  fflush(stdout);
  execl(arguments[0], arguments[0], "query", NULL);
}

static const struct act {
  const char *name;
  void (*function)(void);
} acts[] = {
    {"default", act_default},
    {"ignored", act_ignored},
    {"info", act_info},
    {"simple", act_simple},
    {"reset", act_reset},
    {"nested", act_nested},
    {"alternate stack", act_alternate},
    {"alternate stack, not used", act_not_alternate},
    {"bus", act_bus},
    {"bus, info", act_bus_info},
    {"raise", act_raise},
    {"raise, info", act_raise_info},
    {"kill", act_kill},
    {"functions", act_functions},
    {"vfork", act_vfork},
    {"fork", act_fork},
    {"exec", act_exec},
};

int main(int argc, char **argv) {
  arguments = argv;
  if (argc > 1 && !strcmp(argv[1], "query")) return tell_action(SIGSEGV), tell_action(SIGBUS), 0;
  bool late = argc > 1 && !strcmp(argv[1], "late");
  for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
    printf("%s\n", acts[i].name);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
      if (!late) large_block();
      acts[i].function();
      if (late) large_block();
      fflush(stdout);
      if (late) tell_action(SIGSEGV);
      exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    printf("  status %x\n", (unsigned)status & 0xff7f); /* whether there is a core is the limits' */
  }
}
