/* prctl(2), in front of the C library's: a process without privileges must give up gaining any
 * before it installs a filter of system calls (seccomp(2)), and most that have some do so too. What
 * needs other calls than malloc is done now, and never again. */
#include "heap/sandbox.h"
#include "patalloc.h"

#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

RARE PATALLOC_API int prctl(int option, ...) {
  unsigned long arguments[4];
  va_list given;
  va_start(given, option);
  for (int i = 0; i < 4; i++) arguments[i] = va_arg(given, unsigned long);
  va_end(given);
  bool confines = option == PR_SET_SECCOMP || (option == PR_SET_NO_NEW_PRIVS && arguments[0]);
  patalloc_heap *heap = confines ? patalloc_process_heap() : NULL;
  if (heap) heap_enter_sandbox(heap);
  return (int)syscall(SYS_prctl, option, arguments[0], arguments[1], arguments[2], arguments[3]);
}
