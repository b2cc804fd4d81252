/* mlockall(2) and munlockall(2), in front of the C library's: whether memory that is mapped from
 * then on is to be locked is not to be learnt of the kernel, and what mremap(2) duplicates is not.
 */
#include "heap/fork.h"
#include "os/memory.h"
#include "patalloc.h"
#include "preload/next.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4 /* Linux 4.4 */
#endif

RARE PATALLOC_API int mlockall(int flags) {
  int (*next)(int);
  *(void **)&next = next_symbol("mlockall");
  int result = next ? next(flags) : (errno = ENOSYS, -1);
  fork_handle(); /* a child inherits no locks */
  if (result == 0)
    os_set_locking(!(flags & MCL_FUTURE)   ? OS_LOCKS_NOTHING
                   : (flags & MCL_ONFAULT) ? OS_LOCKS_WHAT_IS_THERE
                                           : OS_LOCKS_ALL);
  return result;
}

RARE PATALLOC_API int munlockall(void) {
  int (*next)(void);
  *(void **)&next = next_symbol("munlockall");
  int result = next ? next() : (errno = ENOSYS, -1);
  if (result == 0) os_set_locking(OS_LOCKS_NOTHING);
  return result;
}
