/* This process and its threads (see process.h). */
#include "os/process.h"
#include "os/sandbox.h"

#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int os_process_id(void) {
  return (int)syscall(SYS_getpid);
}

int os_parent_id(void) {
  return (int)syscall(SYS_getppid);
}

static _Thread_local uint32_t mine __attribute__((tls_model("initial-exec")));

/* In a sandbox as it was told before; of a thread that had not asked by then, the first's that had.
 */
uint32_t os_thread_id(void) {
  static _Atomic uint32_t first;
  if (os_may_call()) {
    mine = (uint32_t)syscall(SYS_gettid);
    os_called();
    if (!first) first = mine;
  }
  return mine ? mine : first ? first : 1;
}

uint32_t os_thread_id_known(void) {
  return mine ? mine : os_thread_id();
}

void os_forget_thread(void) {
  mine = 0;
}

void os_thread_name(char name[OS_NAME]) {
  if (os_is_sandboxed() || syscall(SYS_prctl, PR_GET_NAME, name, 0, 0, 0)) *name = 0;
}

bool os_alternate_stack(const stack_t *stack, stack_t *before) {
  return syscall(SYS_sigaltstack, stack, before) == 0;
}

void os_yield(void) {
  if (!os_may_call()) return;
  syscall(SYS_sched_yield);
  os_called();
}

void os_wait_shared(_Atomic uint32_t *word, uint32_t value, unsigned milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  if (!os_may_call()) return;
  syscall(SYS_futex, word, FUTEX_WAIT, value, &time);
  os_called();
}

void os_wake_shared(_Atomic uint32_t *word) {
  if (!os_may_call()) return;
  syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX);
  os_called();
}

uint64_t os_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint32_t os_milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* By the clock, the stack's place and the auxiliary vector's random bytes, mixed (the finalizer of
 * SplitMix64). */
RARE static uint64_t random_by_clock(void) {
  static _Atomic uint64_t calls;
  struct timespec now;
  uint64_t word;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const char *bytes = (const char *)getauxval(AT_RANDOM);
  memcpy(&word, bytes ? bytes : (const char *)&now, sizeof word);
  word ^= (uint64_t)now.tv_nsec << 20 ^ (uintptr_t)&now ^ ++calls * 0x9e3779b97f4a7c15;
  word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
  word = (word ^ word >> 27) * 0x94d049bb133111eb;
  return word ^ word >> 31;
}

/* As malloc does at its first call (glibc 2.36). */
uint64_t os_random(void) {
  enum { WITHOUT_WAITING = 1 }; /* GRND_NONBLOCK */
  uint64_t word;
  bool done = syscall(SYS_getrandom, &word, sizeof word, WITHOUT_WAITING) == sizeof word;
  return done ? word : random_by_clock();
}

bool os_secure(void) {
  return getauxval(AT_SECURE) != 0;
}

/* Valgrind's client request RUNNING_ON_VALGRIND: instructions that do nothing elsewhere
 * (valgrind.h; the Valgrind manual, 3.1). */
bool os_is_under_valgrind(void) {
#if defined(__x86_64__) || defined(__aarch64__)
  enum { RUNNING_ON_VALGRIND = 0x1001 };
  volatile uint64_t request[6] = {RUNNING_ON_VALGRIND};
#endif
#if defined(__x86_64__)
  uint64_t answer = 0;
  __asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi\n\t"
                   "xchgq %%rbx, %%rbx"
                   : "+d"(answer)
                   : "a"(request)
                   : "cc", "memory");
  return answer;
#elif defined(__aarch64__)
  register uint64_t answer __asm__("x3") = 0;
  register volatile uint64_t *asked __asm__("x4") = request;
  __asm__ volatile("ror x12, x12, #3; ror x12, x12, #13; ror x12, x12, #51; ror x12, x12, #61\n\t"
                   "orr x10, x10, x10"
                   : "+r"(answer)
                   : "r"(asked)
                   : "cc", "memory");
  return answer;
#else
  return false;
#endif
}
