/* Faults: the handler of SIGSEGV and SIGBUS, which reports those that heaps are the reason of. All
 * others, and what comes after a report, are the program's: its own handler is called, or the
 * signal ends the process, as without this. */
#ifndef PATALLOC_FAULT_H
#define PATALLOC_FAULT_H

#include <signal.h>
#include <stdbool.h>

/* Installs the handler, once; with `tags` it expects their faults too. Thread-safe. */
void fault_watch(bool tags);

/* What sigaction(2) does for one of these signals, as the program sees it: the handler stays, and
 * calls what is set here. False where the handler is not installed in this process, and the signal
 * is the program's alone. Async-signal-safe. */
bool fault_action(int signal, const struct sigaction *action, struct sigaction *before);

void fault_lock(void); /* around fork */
void fault_unlock(void);
void fault_restart(void); /* in the child, too */

#endif
