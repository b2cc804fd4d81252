/* Files apart from the program's (see apart.h). */
#include "os/apart.h"

#include "base/lock.h"
#include "os/call.h"
#include "os/process.h"
#include "os/sandbox.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* Linux 5.9 */
#endif

bool os_is_alone(void) {
  return SINGLE_THREADED;
}

struct errand {
  void (*function)(void *context);
  void *context;
  volatile int error; /* as a process writes them that the compiler does not see return */
  volatile bool done;
};

/* With a table of descriptors of its own that has none: they are not copied, nor closed, by which
 * the program might see it (close_range(2)). */
RARE static void run(struct errand *errand) {
  enum { UNSHARE = 1 << 1 };
  if (!syscall(SYS_close_range, 0, ~0u, UNSHARE)) {
    errand->function(errand->context);
    errand->error = errno;
    errand->done = true;
  }
  for (;;) syscall(SYS_exit, 0);
}

/* clone(2), as vfork(2) does it: on the same stack, which the parent leaves alone until it has
 * ended. Without a signal to the parent then, so that no wait(2) of the program's finds it. The C
 * library's clone wants another stack, and ThreadSanitizer takes it for a fork. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
static inline long clone_here(unsigned long flags) {
  register unsigned long fourth __asm__("r10") = 0, fifth __asm__("r8") = 0;
  long process;
  __asm__ volatile("syscall"
                   : "=a"(process)
                   : "0"(SYS_clone), "D"(flags), "S"(0), "d"(0), "r"(fourth), "r"(fifth)
                   : "rcx", "r11", "memory");
  return process;
}
#elif defined(__aarch64__) && !defined(__SANITIZE_THREAD__)
static inline long clone_here(unsigned long flags) {
  register unsigned long number __asm__("x8") = SYS_clone, first __asm__("x0") = flags;
  register unsigned long second __asm__("x1") = 0, third __asm__("x2") = 0;
  register unsigned long fourth __asm__("x3") = 0, fifth __asm__("x4") = 0;
  __asm__ volatile("svc #0"
                   : "+r"(first)
                   : "r"(number), "r"(second), "r"(third), "r"(fourth), "r"(fifth)
                   : "memory");
  return (long)first;
}
#else
static inline long clone_here(unsigned long flags) {
  (void)flags;
  return -1;
}
#endif

/* Valgrind ends a program for a clone that is neither thread nor fork. Other tracers don't see this
 * one: they take it for a vfork(2), follow it for the child that the program is to make, or wait
 * for it while it waits for them. */
RARE __attribute__((noinline)) static void run_apart(struct errand *errand) {
  if (os_is_under_valgrind()) return;
  long process = clone_here(CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_UNTRACED);
  if (!process) run(errand);
  while (process > 0 && syscall(SYS_wait4, process, NULL, __WALL, NULL) < 0 && errno == EINTR) {
  }
}

/* One that another one runs is apart by now. */
void os_apart(void (*function)(void *context), void *context) {
  static _Thread_local bool apart __attribute__((tls_model("initial-exec")));
  if (apart) return function(context);
  uint64_t all = UINT64_MAX, mask;
  struct errand errand = {.function = function, .context = context};
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof all);
  apart = true;
  bool calls = os_may_call();
  if (calls && !os_is_alone()) run_apart(&errand);
  if (!errand.done) {
    function(context);
    errand.error = errno;
  }
  if (calls) os_called();
  apart = false;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
  errno = errand.error;
}
