/* Faults: the handler of SIGSEGV and SIGBUS, which reports those that heaps are the reason of. What
 * comes after a report is the program's: its own handler is called, or the signal ends the process,
 * as without this. Where that is asked for, all signals by which a process dies of an error are
 * told, and before it ends on request what waits is looked at. */
#ifndef PATALLOC_FAULT_H
#define PATALLOC_FAULT_H

#include "watch/watch.h"

/* Has faults handled from here on; with `tags` those of memory tags too. Any threads may do so at
 * the same time; not a signal handler. */
void fault_watch(bool tags);
void fault_watch_deaths(void);

/* Where another thread dies of what is reported: waits for that, so that the process does not end
 * otherwise meanwhile. Not for a thread that holds what a report needs. */
RARE void fault_let_die(void);

#endif
