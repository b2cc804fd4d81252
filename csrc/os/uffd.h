/* Missing pages, as userfaultfd(2) tells of them (os.h says what holds for all functions). */
#ifndef PATALLOC_OS_UFFD_H
#define PATALLOC_OS_UFFD_H

#include "os/os.h"

RARE int os_uffd_open(void); /* one that the kernel's own accesses are served by too */
RARE bool os_uffd_watch(int descriptor, uintptr_t address, size_t size);
/* Waits for a fault, and copies the page there. */
RARE bool os_uffd_serve(int descriptor, const void *page);

/* One in whose memory missing pages are guards, for the kernel's own accesses too, and pages move
 * (Linux 6.8). It needs no privilege. */
RARE int os_uffd_open_mover(void);
/* Makes a missing page; moves one to where one is missing. */
bool os_uffd_make(int descriptor, uintptr_t to, const void *page);
bool os_uffd_move(int descriptor, uintptr_t from, uintptr_t to);

#endif
