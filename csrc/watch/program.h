/* What of the address space is the program's own, so that no malloc has handed it out.
 * Async-signal-safe. */
#ifndef PATALLOC_PROGRAM_H
#define PATALLOC_PROGRAM_H

#include <stdbool.h>

/* Whether the address lies in code or data of the program or a library (where the C library has
 * _dl_find_object, glibc 2.35) or, if `walks`, in the frames of this thread's stack that can be
 * walked. A walk may fault: fault_watch comes first. */
bool program_owns(const void *address, bool walks);

/* Whether some object's calls of free(3) go to another than this library's, as those of one do that
 * was loaded with RTLD_DEEPBIND (dlopen(3)): what it frees is not known of. Async-signal-safe. */
bool program_frees_past(void);

#endif
