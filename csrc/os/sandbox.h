/* A program's sandbox: once it has one, a system call of a kind that malloc does not make anyway
 * may end it (seccomp(2)). From then on none is made but brk, mmap, munmap, mremap, mprotect,
 * madvise, futex, write, close, fstat, getrandom, clock_gettime and rt_sigprocmask; what
 * would need another is refused with EPERM, and what it told before holds. */
#ifndef PATALLOC_SANDBOX_H
#define PATALLOC_SANDBOX_H

#include "os/os.h"

/* Waits for the calls of other threads that have begun. */
RARE void os_enter_sandbox(void);
bool os_is_sandboxed(void);

/* Before such a call, or many, and after it; false where it must not be made: then nothing follows.
 */
bool os_may_call(void);
void os_called(void);

/* For the child of a fork, whose other threads are gone. */
RARE void os_forget_calls(void);

#endif
