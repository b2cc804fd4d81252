/* Address space and the pages in it (see memory.h). */
#include "os/memory.h"

#include "os/call.h"
#include "os/files.h"
#include "os/mte.h"
#include "os/sandbox.h"

#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef PIDFD_SELF
#define PIDFD_SELF (-10000) /* Linux 6.15; in process_madvise(2) any advice goes */
#endif

/* Address space */

static void *map_file_at(void *address, size_t size, int protection, int flags, int descriptor,
                         size_t offset) {
  if (os_refuses("mmap")) return NULL;
  void *mapped = mmap(address, size, protection, MAP_PRIVATE | MAP_NORESERVE | flags, descriptor,
                      (off_t)offset);
  return mapped == MAP_FAILED ? NULL : mapped;
}

static void *map_at(void *address, size_t size, int protection, int flags, int descriptor) {
  return map_file_at(address, size, protection, flags, descriptor, 0);
}

void *os_reserve(size_t size) {
  return map_at(NULL, size, PROT_NONE, MAP_ANONYMOUS, -1);
}

void *os_map(size_t size) {
  return map_at(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
}

/* On x86-64 processes have 47 bits: below 64 TiB V8, TCMalloc, mimalloc, Go and ZGC put their heaps
 * by hints, from two thirds on the kernel puts programs (ELF_ET_DYN_BASE) and, from the top down,
 * all else. How many bits there are the stack tells, which lies at the top (arm64 has 39 to 48, and
 * 52 for who asks). A sixty-fourth is left free at the end. Not under ThreadSanitizer, whose shadow
 * lies there. */
uintptr_t os_window(size_t *size) {
#ifdef __SANITIZE_THREAD__
  return *size = 0;
#else
  uintptr_t high = getauxval(AT_RANDOM); /* on the first thread's stack */
  if (!high) high = (uintptr_t)__builtin_frame_address(0);
  uintptr_t whole = (uintptr_t)1 << (64 - __builtin_clzl(high));
  *size = whole / 3 * 2 - whole / 2 - whole / 64;
  return whole / 2;
#endif
}

/* A quarter of the address space, below the window. */
uintptr_t os_low_window(size_t *size) {
  size_t high;
  uintptr_t whole = 2 * os_window(&high);
  *size = high ? whole / 4 : 0;
  return whole / 4;
}

/* MAP_FIXED_NOREPLACE: Linux 4.17; before that the address is a hint. */
static bool map_where_nothing_is(uintptr_t address, size_t size, int protection) {
  void *mapped = map_at((void *)address, size, protection, MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1);
  if (!mapped || mapped == (void *)address) return mapped;
  munmap(mapped, size);
  return errno = EEXIST, false;
}

bool os_reserve_at(uintptr_t address, size_t size) {
  return map_where_nothing_is(address, size, PROT_NONE);
}

bool os_map_at(uintptr_t address, size_t size) {
  return map_where_nothing_is(address, size, PROT_READ | PROT_WRITE);
}

bool os_drop(uintptr_t address, size_t size) {
  if (os_refuses("munmap")) return false;
  return munmap((void *)address, size) == 0;
}

void os_unmap(void *address, size_t size) {
  munmap(address, size);
}

bool os_commit(uintptr_t address, size_t size) {
  if (os_refuses("mprotect")) return false;
  return syscall(SYS_mprotect, address, size, PROT_READ | PROT_WRITE) == 0;
}

static int accessible(bool tagged) {
  return PROT_READ | PROT_WRITE | (tagged ? PROT_MTE : 0);
}

bool os_map_zero(uintptr_t address, size_t size, bool tagged) {
  return map_at((void *)address, size, accessible(tagged), MAP_ANONYMOUS | MAP_FIXED, -1);
}

void *os_map_tagged(size_t size) {
  return map_at(NULL, size, accessible(true), MAP_ANONYMOUS, -1);
}

bool os_map_private(uintptr_t address, size_t size, int descriptor, size_t offset, bool tagged) {
  return map_file_at((void *)address, size, accessible(tagged), MAP_FIXED, descriptor, offset);
}

bool os_release(uintptr_t address, size_t size) {
  return map_at((void *)address, size, PROT_NONE, MAP_ANONYMOUS | MAP_FIXED, -1);
}

/* Templates */

void *os_map_template(size_t size, int descriptor, bool tagged) {
  return map_at(NULL, size, accessible(tagged), 0, descriptor);
}

/* Reserves again what a failed mremap(2) may have unmapped before it failed; where it has not, this
 * has no effect (MAP_FIXED_NOREPLACE, Linux 4.17). Another thread's mmap(2) may have come in
 * between only if it asks for this very place: the kernel chooses none in the window (above). It
 * could where all is reserved in advance. But there mremap fails then for want of mappings, and of
 * those mmap would need one, too: a limit of the address space does not make it fail, as what it
 * unmaps has counted. */
static void restore_reservation(uintptr_t address, size_t size) {
  int error = errno;
  void *mapped = mmap((void *)address, size, PROT_NONE,
                      MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (mapped != MAP_FAILED && mapped != (void *)address) munmap(mapped, size);
  errno = error;
}

static _Atomic int locking;

void os_set_locking(enum os_locking told) {
  locking = told;
}

enum os_locking os_locking(void) {
  return (enum os_locking)locking;
}

/* mlock2(2): Linux 4.4. */
static bool lock_as_told(uintptr_t address, size_t size) {
  enum { ON_FAULT = 1 }; /* MLOCK_ONFAULT */
  int told = locking;
  if (told == OS_LOCKS_NOTHING || !os_may_call()) return true;
  bool locked = !syscall(SYS_mlock2, address, size, told == OS_LOCKS_ALL ? 0 : ON_FAULT);
  os_called();
  return locked;
}

/* Linux 5.13: of a private file mapping, the old place keeps its mapping and loses only the pages
 * that were copied; a template that was never written has none, so this duplicates it. */
static bool remap(uintptr_t from, uintptr_t to, size_t size) {
  bool done =
      !os_refuses("mremap") && syscall(SYS_mremap, from, size, size,
                                       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) != -1;
  if (!done) restore_reservation(to, size);
  return done;
}

bool os_duplicate(void *template_, uintptr_t address, size_t size) {
  return remap((uintptr_t)template_, address, size) && lock_as_told(address, size);
}

/* What is moved is moved, locked or not. The old place is locked no longer (mremap(2)). */
bool os_move_pages(uintptr_t from, uintptr_t to, size_t size) {
  if (os_refuses("mremap of half")) return remap(from, to, page_down(size / 2)), false;
  if (!remap(from, to, size)) return false;
  lock_as_told(to, size);
  lock_as_told(from, size);
  return true;
}

bool os_move_over(uintptr_t from, uintptr_t to, size_t size) {
  if (os_refuses("mremap")) return false;
  return syscall(SYS_mremap, from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != -1;
}

bool os_move(uintptr_t from, uintptr_t to, size_t size) {
  if (!os_reserve_at(to, size)) return false;
  if (os_move_over(from, to, size)) return true;
  int error = errno;
  os_drop(to, size);
  return errno = error, false;
}

/* Files that are shared, or read */

void *os_map_shared(int descriptor, size_t size, const void *before, size_t used) {
  if (os_refuses("mmap") || !os_resize(descriptor, size)) return NULL;
  if (before && !os_write_at(descriptor, before, used, 0)) return NULL;
  void *mapped = mmap((void *)(uintptr_t)before, size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | (before ? MAP_FIXED : 0), descriptor, 0);
  return mapped == MAP_FAILED ? NULL : mapped;
}

void *os_copy_file(int descriptor, size_t *size) {
  struct os_identity identity;
  if (!os_identify(descriptor, &identity, size) || !*size) return NULL;
  char *copy = os_map(page_up(*size));
  size_t done = 0;
  while (copy && done < *size) {
    ssize_t got = syscall(SYS_pread64, descriptor, copy + done, *size - done, done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return os_unmap(copy, page_up(*size)), NULL;
    done += (size_t)got;
  }
  return copy;
}

/* sigprocmask(2) reads the set, eight bytes, before it finds that it is not told how. Where memory
 * has tags the kernel may check them, too, and so all are tried. */
bool os_is_readable(uintptr_t address) {
  enum { NO_WAY = -1, SET = 8, TAGS = MTE_ABLE ? MTE_TAGS : 1 };
  uintptr_t set = mte_untag(address) & ~(uintptr_t)(SET - 1);
  int error = errno;
  bool readable = false;
  for (unsigned tag = 0; !readable && tag < TAGS; tag++) {
    syscall(SYS_rt_sigprocmask, NO_WAY, mte_with_tag(set, tag), NULL, SET);
    readable = errno != EFAULT;
  }
  errno = error;
  return readable;
}

/* Advice, madvise(2) */

bool os_advise(uintptr_t address, size_t size, int advice) {
  if (os_refuses("madvise")) return false;
  return syscall(SYS_madvise, address, size, advice) == 0;
}

bool os_advise_all(const struct os_range *ranges, unsigned count, int advice) {
  struct iovec vector[OS_RANGES_MOST];
  size_t sum = 0;
  for (unsigned i = 0; i < count; i++) {
    vector[i] = (struct iovec){(void *)ranges[i].start, ranges[i].size};
    sum += ranges[i].size;
  }
  if (os_refuses("process_madvise")) return false;
  bool half = os_refuses("process_madvise of half");
  if (half) count /= 2;
  if (!os_may_call()) return errno = EPERM, false;
  ssize_t done = syscall(SYS_process_madvise, PIDFD_SELF, vector, count, advice, 0);
  os_called();
  return !half && done == (ssize_t)sum;
}

bool os_reset(uintptr_t address, size_t size) {
  return os_advise(address, size, MADV_DONTNEED);
}

bool os_reset_locked(uintptr_t address, size_t size) {
  return os_advise(address, size, MADV_DONTNEED_LOCKED);
}

bool os_reset_all(const struct os_range *ranges, unsigned count) {
  return os_advise_all(ranges, count, MADV_DONTNEED);
}

bool os_wipe_on_fork(uintptr_t address, size_t size) {
  return os_advise(address, size, MADV_WIPEONFORK);
}

void os_leave_out_of_dumps(void *address, size_t size) {
  os_advise((uintptr_t)address, size, MADV_DONTDUMP);
}

void os_have_in_dumps(void *address, size_t size) {
  os_advise((uintptr_t)address, size, MADV_DODUMP);
}

bool os_populate(uintptr_t address, size_t size) {
  return os_advise(address, size, MADV_POPULATE_WRITE);
}

bool os_populate_all(const struct os_range *ranges, unsigned count) {
  return os_advise_all(ranges, count, MADV_POPULATE_WRITE);
}

bool os_use_huge_pages(uintptr_t address, size_t size) {
  return os_advise(address, size, MADV_HUGEPAGE);
}
