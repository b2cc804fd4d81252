/* What of the address space is the program's own, so that no malloc has handed it out. Safe as
 * cfi_find. */
#ifndef PATALLOC_PROGRAM_H
#define PATALLOC_PROGRAM_H

#include <stdbool.h>

/* Whether the address lies in code or data of the program or a library (where the C library has
 * _dl_find_object, glibc 2.35), or in the frames of this thread's stack that can be walked. */
bool program_owns(const void *address);

#endif
