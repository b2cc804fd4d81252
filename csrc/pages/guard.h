/* Guards inside a run's spans: pages that any access faults on. As markers in the page table where
 * the kernel has guard regions, which cost no VMA; as PROT_NONE pages where it has not, or where
 * memory is locked. Installing drops what the pages held; what is removed reads as the pattern. */
#ifndef PATALLOC_GUARD_H
#define PATALLOC_GUARD_H

#include "os/guards.h"
#include "pages/run.h"

/* Makes [from, to) of the run inaccessible. False where that can't be done within the limit of
 * VMAs. */
bool guard_shut(struct run *run, uintptr_t from, uintptr_t to, const struct options *options);

/* The same for a guard. False also where none are asked for (guard_pages=0): the pages are reset,
 * and stay accessible. */
bool guard_install(struct run *run, uintptr_t from, uintptr_t to, const struct options *options);

/* The same for many ranges; returns how many could not be made inaccessible. */
unsigned guard_install_all(struct run *run, const struct os_range *ranges, unsigned count,
                           const struct options *options);

/* Makes [from, to) accessible again. */
bool guard_remove(struct run *run, uintptr_t from, uintptr_t to);

#endif
