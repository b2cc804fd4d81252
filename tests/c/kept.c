/* What a program finds as it left it, and nothing of ours.
 *
 *   kept CASE    (the table at the end) */
#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { MIB = 1 << 20, PAGE = 4096 };

static long pages_mapped(void) {
  long size;
  FILE *statm = fopen("/proc/self/statm", "r");
  CHECK(statm && fscanf(statm, "%ld", &size) == 1);
  fclose(statm);
  return size;
}

static void *rest(void *unused) {
  return pause(), unused;
}

/* Of errands, which a process of one thread does not run. */
static void no_children(void) {
  pthread_t thread;
  CHECK(!pthread_create(&thread, NULL, rest, NULL));
  for (int i = 0; i < 10; i++) free(malloc(MIB));
  CHECK(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD);
}

static void its_pending_signal(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGXFSZ);
  CHECK(!sigprocmask(SIG_BLOCK, &set, NULL));
  raise(SIGXFSZ);
  for (int i = 0; i < 5; i++) free(malloc(MIB));
  CHECK(!sigpending(&set) && sigismember(&set, SIGXFSZ));
}

/* Where a block was that has left the quarantine's address space to it. */
static void its_mapping(void) {
  char *block = malloc(MIB), *place = (char *)((uintptr_t)block & ~(uintptr_t)(PAGE - 1));
  free(block);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap(place, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) != place) return; /* still ours */
  *place = 7;
  for (int i = 0; i < 20; i++) free(malloc(MIB));
  CHECK(readable(place) && *place == 7);
}

static void a_guard_after_growth_that_failed(void) {
  char *block = malloc(MIB);
  for (int i = 1; i < 8; i++) CHECK((block = realloc(block, MIB + (size_t)i * 200000)));
  CHECK(!readable(block + malloc_usable_size(block)));
  CHECK(!setrlimit(RLIMIT_AS, &(struct rlimit){(rlim_t)1 << 32, RLIM_INFINITY}));
  CHECK(!realloc(block, (size_t)1 << 36) && errno == ENOMEM);
  CHECK(!readable(block + malloc_usable_size(block)));
  free(block);
}

static void its_address_space(void) {
  enum { ROUNDS = 50000 };
  for (int i = 0; i < ROUNDS; i++) free(malloc((size_t)(100 + i % 900)));
  long before = pages_mapped();
  for (int i = 0; i < 10 * ROUNDS; i++) free(malloc((size_t)(100 + i % 900)));
  CHECK(pages_mapped() - before < 1000);
}

/* Blocks too large to be held back; with a threshold above them. */
static void its_memory(void) {
  for (int i = 0; i < 500; i++) free(malloc(4 * MIB));
  CHECK(pages_mapped() < 1 << 18);
}

static volatile sig_atomic_t calls, found;
static void count(int number) {
  (void)number;
  calls++;
}

static void calls_that_restart(void) {
  struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
  int ends[2];
  char byte;
  free(malloc(MIB));
  CHECK(!sigaction(SIGSEGV, &action, NULL) && !pipe(ends));
  pid_t child = fork();
  if (!child) {
    for (int i = 0; i < 20; i++) usleep(10000), kill(getppid(), SIGSEGV);
    _exit(write(ends[1], "x", 1) != 1);
  }
  CHECK(read(ends[0], &byte, 1) == 1 && calls);
  waitpid(child, NULL, 0);
}

static sigjmp_buf after;
static void leave(int number) {
  found = errno;
  siglongjmp(after, number);
}

/* After a report that its handler went on from. */
static void errno_and_alternate_stack(void) {
  stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16}, now;
  struct sigaction action = {.sa_handler = leave, .sa_flags = SA_ONSTACK};
  volatile char *block = malloc(MIB);
  CHECK(!sigaltstack(&stack, NULL) && !sigaction(SIGSEGV, &action, NULL));
  errno = 77;
  if (!sigsetjmp(after, 1)) block[MIB] = 1;
  CHECK(found == 77 && !sigaltstack(NULL, &now));
  CHECK(now.ss_sp == stack.ss_sp && !(now.ss_flags & SS_DISABLE));
}

static bool is_locked(const void *address) {
  char line[512];
  bool here = false, locked = false;
  FILE *smaps = fopen("/proc/self/smaps", "r");
  CHECK(smaps);
  while (fgets(line, sizeof line, smaps)) {
    uintptr_t start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
      here = (uintptr_t)address >= start && (uintptr_t)address < end;
    if (here && !strncmp(line, "VmFlags:", 8)) locked = strstr(line, " lo ");
  }
  fclose(smaps);
  return locked;
}

static void end_by_3(int number) {
  (void)number;
  _exit(3);
}

static void await_3(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

/* A child inherits no locks (mlockall(2)). */
static void no_locks_in_a_child(void) {
  free(malloc(MIB));
  CHECK(!mlockall(MCL_FUTURE));
  pid_t child = fork();
  if (!child) {
    void *block = malloc(5 * MIB);
    CHECK(block && !is_locked(block));
    _exit(3);
  }
  await_3(child);
}

static void a_childs_handler(void) {
  volatile char *block = malloc(MIB);
  pid_t child = fork();
  if (!child) {
    signal(SIGSEGV, end_by_3);
    block[MIB] = 1;
  }
  await_3(child);
}

static bool blocks_itself(void) {
  struct sigaction now;
  CHECK(!sigaction(SIGSEGV, NULL, &now));
  return sigismember(&now.sa_mask, SIGSEGV);
}

static void older_functions(void) {
  free(malloc(MIB));
  CHECK(signal(SIGSEGV, count) == SIG_DFL && blocks_itself());
  CHECK(sysv_signal(SIGSEGV, count) == count && !blocks_itself());
  CHECK(signal(SIGSEGV, SIG_ERR) == SIG_ERR && errno == EINVAL);
  CHECK(signal(SIGSEGV, SIG_DFL) == count);
}

static const struct test_case cases[] = {
    {"no children", no_children},
    {"signal", its_pending_signal},
    {"mapping", its_mapping},
    {"guard", a_guard_after_growth_that_failed},
    {"address space", its_address_space},
    {"memory", its_memory},
    {"restarts", calls_that_restart},
    {"afterwards", errno_and_alternate_stack},
    {"child's locks", no_locks_in_a_child},
    {"child's handler", a_childs_handler},
    {"older functions", older_functions},
};

int main(int argc, char **argv) {
  CHECK(argc == 2);
  RUN_CASE(cases, argv[1]);
  return 0;
}
