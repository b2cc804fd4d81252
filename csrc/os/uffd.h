/* Missing pages, as userfaultfd(2) tells of them (os.h says what holds for all functions). */
#ifndef PATALLOC_OS_UFFD_H
#define PATALLOC_OS_UFFD_H

#include "os/os.h"

RARE int os_uffd_open(void); /* one that the kernel's own accesses are served by too */
/* With `follow` the first store to a page that was read first is told of, too (Linux 5.7). */
RARE bool os_uffd_watch(int descriptor, uintptr_t address, size_t size, bool follow);

/* Waits for a fault; `access` is UFFD_ACCESSES where something else was told of. False where the
 * descriptor is gone. */
enum uffd_access { UFFD_READ, UFFD_WRITE, UFFD_WRITE_AFTER_READ, UFFD_ACCESSES };
struct uffd_fault {
  uintptr_t page;
  enum uffd_access access;
};
RARE bool os_uffd_wait(int descriptor, struct uffd_fault *fault);

/* Copies the page there, or lets it be written, so that who waits for it goes on. */
RARE void os_uffd_answer(int descriptor, struct uffd_fault fault, const void *page, bool follow);

/* One in whose memory missing pages are guards, for the kernel's own accesses too, and pages move
 * (Linux 6.8). It needs no privilege. */
RARE int os_uffd_open_mover(void);
/* Makes a missing page; moves one to where one is missing. */
bool os_uffd_make(int descriptor, uintptr_t to, const void *page);
bool os_uffd_move(int descriptor, uintptr_t from, uintptr_t to);

#endif
