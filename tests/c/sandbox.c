/* A program that allows itself the system calls that the C library's malloc and stdio make, and no
 * other. Run preloaded; prints the number of another one and ends by it.
 *
 *   sandbox before      before its first large block
 *   sandbox after       after it
 *   sandbox threads     after it, with threads that allocate by then
 *   sandbox raw         by seccomp(2) alone, which needs CAP_SYS_ADMIN */
#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const int allowed[] = {
    SYS_brk,          SYS_mmap,           SYS_munmap,   SYS_mremap,     SYS_mprotect,
    SYS_madvise,      SYS_futex,          SYS_write,    SYS_read,       SYS_close,
    SYS_fstat,        SYS_exit_group,     SYS_exit,     SYS_newfstatat, SYS_clock_gettime,
    SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_getrandom};
enum { ALLOWED = sizeof allowed / sizeof *allowed };

static void tell(int signal, siginfo_t *info, void *context) {
  char text[] = "system call 0000\n";
  (void)signal, (void)context;
  for (int at = 15, number = info->si_syscall; at > 11; at--, number /= 10)
    text[at] = (char)('0' + number % 10);
  if (write(1, text, sizeof text - 1)) _exit(77);
}

static void confine(bool raw) {
  static struct sock_filter filter[ALLOWED + 3];
  struct sock_fprog program = {ALLOWED + 3, filter};
  filter[0] =
      (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < ALLOWED; i++)
    filter[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i],
                                                 (unsigned char)(ALLOWED - i), 0);
  filter[ALLOWED + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
  filter[ALLOWED + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO};
  CHECK(!sigaction(SIGSYS, &action, NULL));
  if (!raw) CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program));
}

static bool is_fresh(const unsigned char *start, size_t size) {
  return !getenv("LD_PRELOAD") || holds(start, size, expected());
}

static void work(void) {
  enum { COUNT = 50 };
  unsigned char *blocks[COUNT];
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < COUNT; i++) {
      size_t size = 200000 + (size_t)i * 3000;
      CHECK((blocks[i] = malloc(size)) && (round % 20 || is_fresh(blocks[i], size)));
      memset(blocks[i], 1, 100000);
    }
    for (int i = 0; i < COUNT; i++) free(blocks[i]);
    unsigned char *large = malloc(4 << 20);
    CHECK(large);
    memset(large, 1, 4 << 20);
    CHECK((large = realloc(large, 9 << 20)) && is_fresh(large + (4 << 20), 5 << 20));
    free(large);
    free(calloc(3, 1 << 20));
  }
  unsigned char *largest = malloc((size_t)1 << 30);
  CHECK(largest && is_fresh(largest + (1 << 29), 1));
  free(largest);
}

static _Atomic bool confined;

static void *work_too(void *unused) {
  work();
  while (!confined) {
  }
  work();
  return unused;
}

int main(int argc, char **argv) {
  pthread_t threads[2];
  CHECK(argc == 2);
  bool threaded = !strcmp(argv[1], "threads");
  if (threaded || !strcmp(argv[1], "after")) free(malloc(1 << 20));
  for (int i = 0; threaded && i < 2; i++) CHECK(!pthread_create(&threads[i], NULL, work_too, NULL));
  if (threaded) work();
  confine(!strcmp(argv[1], "raw"));
  confined = true;
  work();
  for (int i = 0; threaded && i < 2; i++) pthread_join(threads[i], NULL);
  return 0;
}
