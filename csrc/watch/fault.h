/* Faults: the handler of SIGSEGV and SIGBUS, which reports those that heaps are the reason of. All
 * others, and what comes after a report, are the program's: its own handler is called, or the
 * signal ends the process, as without this. */
#ifndef PATALLOC_FAULT_H
#define PATALLOC_FAULT_H

#include "watch/watch.h"

/* Has faults handled from here on; with `tags` those of memory tags too. Any threads may do so at
 * the same time; not a signal handler. */
void fault_watch(bool tags);

#endif
