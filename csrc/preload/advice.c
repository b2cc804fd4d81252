/* mprotect(2), mlock(2) and madvise(2), in front of the C library's: what they do to a block is not
 * to be found in the next one, and what they promise of anonymous memory holds of blocks as well.
 */
#include "heap/altered.h"
#include "os/os.h"
#include "patalloc.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_FREE
#define MADV_FREE 8 /* Linux 4.5 */
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18 /* Linux 4.14 */
#endif

static int noted(long result, const void *address) {
  if (!result && region_holds(address)) altered_note(address);
  return (int)result;
}

PATALLOC_API int mprotect(void *address, size_t size, int protection) {
  return noted(syscall(SYS_mprotect, address, size, protection), address);
}

RARE PATALLOC_API int pkey_mprotect(void *address, size_t size, int protection, int key) {
  long result = key == -1 ? syscall(SYS_mprotect, address, size, protection)
                          : syscall(SYS_pkey_mprotect, address, size, protection, key);
  return noted(result, address);
}

RARE PATALLOC_API int mlock(const void *address, size_t size) {
  return noted(syscall(SYS_mlock, address, size), address);
}

RARE PATALLOC_API int mlock2(const void *address, size_t size, unsigned flags) {
  long result =
      flags ? syscall(SYS_mlock2, address, size, flags) : syscall(SYS_mlock, address, size);
  return noted(result, address);
}

static bool stays(int advice) {
  return advice == MADV_NORMAL || advice == MADV_RANDOM || advice == MADV_SEQUENTIAL ||
         (advice >= MADV_DONTFORK && advice <= MADV_WIPEONFORK);
}

/* Pages that are given up read as zeros from then on, or as they did. */
RARE static int advise_block(void *address, size_t size, int advice) {
  uintptr_t from = (uintptr_t)address, to = page_up(from + size);
  bool whole = page_down(from) == from && to > from;
  if (advice == MADV_DONTNEED && whole && altered_to_anonymous(from, to, true)) return 0;
  if (advice == MADV_HUGEPAGE && altered_ignores_huge_pages(from)) return 0;
  if (advice == MADV_WIPEONFORK && whole) altered_to_anonymous(from, to, false);
  long result = syscall(SYS_madvise, address, size, advice);
  if (result && advice == MADV_FREE && errno == EINVAL) return 0; /* no file's: may stay as it is */
  return stays(advice) ? noted(result, address) : (int)result;
}

PATALLOC_API int madvise(void *address, size_t size, int advice) {
  if (region_holds(address)) return advise_block(address, size, advice);
  return (int)syscall(SYS_madvise, address, size, advice);
}
