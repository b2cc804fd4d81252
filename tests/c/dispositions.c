/* Dispositions in awkward moments.
 *
 *   dispositions LIBRARY    this file, compiled with -DLIBRARY, whose constructor sets one while
 *                           another thread does so for the first time
 *   dispositions refused    a filter refuses them (seccomp(2)): prints what comes of it */
#include "check.h"

#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifdef LIBRARY

__attribute__((constructor)) static void start(void) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  usleep(300000);
  CHECK(!sigaction(SIGSEGV, &action, NULL));
}

#else

static void *set(void *unused) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  usleep(100000);
  CHECK(!sigaction(SIGSEGV, &action, NULL));
  return unused;
}

static void refused(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigaction, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  struct sigaction action = {.sa_handler = SIG_IGN}, before = {.sa_handler = (void (*)(int))77};
  CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
  int result = sigaction(SIGSEGV, &action, &before);
  printf("%d %d %d\n", result, errno, before.sa_handler == (void (*)(int))77);
  printf("%d %d\n", signal(SIGSEGV, SIG_IGN) == SIG_ERR, errno);
}

int main(int argc, char **argv) {
  pthread_t other;
  CHECK(argc == 2);
  if (!strcmp(argv[1], "refused")) return refused(), 0;
  CHECK(!pthread_create(&other, NULL, set, NULL));
  CHECK(dlopen(argv[1], RTLD_NOW));
  CHECK(!pthread_join(other, NULL));
  return 0;
}
#endif
