/* Waiting for locks (see lock.h): the one system call below the kernel boundary, as there can be no
 * lock without it. Through syscall(2), as all of them (os/os.h). */
#include "base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

_Thread_local bool lock_forking;
#ifdef PATALLOC_FAULTS
void (*lock_dropped)(void);
#endif

void lock_wait(_Atomic uint32_t *word, uint32_t value) {
  int error = errno;
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL);
  errno = error;
}

void lock_wake(_Atomic uint32_t *word) {
  int error = errno;
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1);
  errno = error;
}
