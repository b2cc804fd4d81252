/* This process and its threads (see process.h). */
#include "os/process.h"

#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int os_process_id(void) {
  return (int)syscall(SYS_getpid);
}

uint32_t os_thread_id(void) {
  return (uint32_t)syscall(SYS_gettid);
}

void os_thread_name(char name[OS_NAME]) {
  if (syscall(SYS_prctl, PR_GET_NAME, name, 0, 0, 0)) *name = 0;
}

void os_yield(void) {
  syscall(SYS_sched_yield);
}

uint32_t os_milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

bool os_secure(void) {
  return getauxval(AT_SECURE) != 0;
}
