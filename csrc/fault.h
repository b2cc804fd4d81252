/* Faults: a handler of SIGSEGV that reports those which memory tags are the reason of. */
#ifndef PATALLOC_FAULT_H
#define PATALLOC_FAULT_H

/* Installs the handler, once. Whatever else faults, and what comes after a report, goes to the
 * handler that was there before: by default the signal ends the process, as without this.
 * Thread-safe. */
void fault_watch(void);

#endif
