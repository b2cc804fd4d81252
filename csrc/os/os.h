/* The kernel boundary: every system call that the allocator makes (but a lock's, base/lock.h, and
 * those of signals and threads, which are the C library's), and every probe of a kernel feature, is
 * behind the functions of this floor. Nothing above includes <sys/mman.h>. Here is what holds for
 * all of them; the headers are by topic:
 *
 *   memory.h    address space: mapping, resetting, moving pages; hints about them
 *   guards.h    pages that any access faults on
 *   files.h     descriptors and files, the memfd among them
 *   pagemap.h   which pages were written
 *   limits.h    how much of something the machine and the user allow
 *   features.h  kernel features, each probed, with what is done without it
 *   tags.h      Arm's memory tags (the instructions are in mte.h)
 *   uffd.h      missing pages, as userfaultfd(2) tells of them
 *   process.h   this process and its threads
 *   destination.h  where an option says that data goes
 *   apart.h     files, out of the program's sight
 *   standing.h  what a fork shares with its parent
 *   sandbox.h   whether the program may be ended for a system call
 *   init.h      what is to be called before all others
 *
 * Functions return false (or NULL, -1) with errno set where the kernel refuses. What concerns a
 * range or many pages may be done in part then; what maps over a range may have unmapped it, but
 * for os_duplicate. None allocates, takes a lock or calls stdio, so all are async-signal-safe, and
 * safe in the child of a fork.
 *
 * System calls go through syscall(2) where the C library's own functions are cancellation points,
 * which malloc and free must not be (pthreads(7)); and the others too, so that few of the C
 * library's pages are read.
 *
 * `address` and `size` are whole pages where memory is meant. */
#ifndef PATALLOC_OS_H
#define PATALLOC_OS_H

#include "base/rare.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Set by os_init. */
extern size_t os_page;         /* bytes in a page */
extern unsigned os_page_shift; /* log2 of it */

static inline uintptr_t page_down(uintptr_t address) {
  return address & ~(os_page - 1);
}
static inline uintptr_t page_up(uintptr_t address) {
  return page_down(address + os_page - 1);
}

/* Bytes that one page of page table entries covers. */
static inline size_t os_page_table(void) {
  return os_page / sizeof(uint64_t) * os_page;
}

#endif
