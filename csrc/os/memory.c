/* Address space and the pages in it (see memory.h). */
#include "os/memory.h"

#include "os/call.h"
#include "os/files.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef PIDFD_SELF
#define PIDFD_SELF (-10000) /* Linux 6.15; in process_madvise(2) any advice goes */
#endif

/* Address space */

static void *map_at(void *address, size_t size, int protection, int flags, int descriptor) {
  if (os_refuses("mmap")) return NULL;
  void *mapped =
      mmap(address, size, protection, MAP_PRIVATE | MAP_NORESERVE | flags, descriptor, 0);
  return mapped == MAP_FAILED ? NULL : mapped;
}

void *os_reserve(size_t size) {
  return map_at(NULL, size, PROT_NONE, MAP_ANONYMOUS, -1);
}

void *os_map(size_t size) {
  return map_at(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
}

void os_unmap(void *address, size_t size) {
  munmap(address, size);
}

bool os_commit(uintptr_t address, size_t size) {
  if (os_refuses("mprotect")) return false;
  return mprotect((void *)address, size, PROT_READ | PROT_WRITE) == 0;
}

static int accessible(bool tagged) {
  return PROT_READ | PROT_WRITE | (tagged ? PROT_MTE : 0);
}

bool os_map_zero(uintptr_t address, size_t size, bool tagged) {
  return map_at((void *)address, size, accessible(tagged), MAP_ANONYMOUS | MAP_FIXED, -1);
}

bool os_map_private(uintptr_t address, size_t size, int descriptor, bool tagged) {
  return map_at((void *)address, size, accessible(tagged), MAP_FIXED, descriptor);
}

bool os_release(uintptr_t address, size_t size) {
  return map_at((void *)address, size, PROT_NONE, MAP_ANONYMOUS | MAP_FIXED, -1);
}

/* Templates */

/* Page tables that a neighbour has made would be made again at every duplicate of the mapping, by
 * mremap(2), and walked at every reset: so the mapping shares none, and lies alone in the range
 * that one page of page table entries covers. */
void *os_map_template(size_t size, int descriptor, bool tagged) {
  size_t table = os_page_table();
  size_t room = (size + table - 1) / table * table;
  char *reserved = os_reserve(room + table);
  if (!reserved) return NULL;
  char *start = (char *)(((uintptr_t)reserved + table - 1) & ~(table - 1));
  if (start > reserved) munmap(reserved, (size_t)(start - reserved));
  if (start < reserved + table) munmap(start + room, (size_t)(reserved + table - start));
  if (os_map_private((uintptr_t)start, size, descriptor, tagged)) return start;
  munmap(start, room);
  return NULL;
}

/* Reserves again what a failed mremap(2) may have unmapped before it failed; where it has not, this
 * has no effect (MAP_FIXED_NOREPLACE, Linux 4.17). */
static void restore_reservation(uintptr_t address, size_t size) {
  int error = errno;
  void *mapped = mmap((void *)address, size, PROT_NONE,
                      MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (mapped != MAP_FAILED && mapped != (void *)address) munmap(mapped, size);
  errno = error;
}

/* Linux 5.13: of a private file mapping, the old place keeps its mapping and loses only the pages
 * that were copied; a template that was never written has none, so this duplicates it. */
bool os_duplicate(void *template_, uintptr_t address, size_t size) {
  if (!os_refuses("mremap") &&
      syscall(SYS_mremap, template_, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
              address) != -1)
    return true;
  restore_reservation(address, size);
  return false;
}

bool os_move_pages(uintptr_t from, uintptr_t to, size_t size) {
  return os_duplicate((void *)from, to, size);
}

/* Files that are shared, or read */

void *os_map_shared(int descriptor, size_t size, const void *before, size_t used) {
  if (os_refuses("mmap") || !os_resize(descriptor, size)) return NULL;
  if (before && !os_write_at(descriptor, before, used, 0)) return NULL;
  void *mapped = mmap((void *)(uintptr_t)before, size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | (before ? MAP_FIXED : 0), descriptor, 0);
  return mapped == MAP_FAILED ? NULL : mapped;
}

const void *os_map_file(int descriptor, size_t *size) {
  struct os_identity identity;
  if (os_refuses("mmap") || !os_identify(descriptor, &identity, size) || !*size) return NULL;
  void *mapped = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  return mapped == MAP_FAILED ? NULL : mapped;
}

/* Advice, madvise(2) */

bool os_advise(uintptr_t address, size_t size, int advice) {
  if (os_refuses("madvise")) return false;
  return madvise((void *)address, size, advice) == 0;
}

bool os_advise_all(const struct os_range *ranges, unsigned count, int advice) {
  struct iovec vector[OS_RANGES_MOST];
  size_t sum = 0;
  for (unsigned i = 0; i < count; i++) {
    vector[i] = (struct iovec){(void *)ranges[i].start, ranges[i].size};
    sum += ranges[i].size;
  }
  if (os_refuses("process_madvise")) return false;
  return syscall(SYS_process_madvise, PIDFD_SELF, vector, count, advice, 0) == (ssize_t)sum;
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

bool os_populate(uintptr_t address, size_t size) {
  return os_advise(address, size, MADV_POPULATE_WRITE);
}

bool os_use_huge_pages(uintptr_t address, size_t size) {
  return os_advise(address, size, MADV_HUGEPAGE);
}
