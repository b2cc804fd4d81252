/* What a process has that a fork shares instead of copying: for processes that are forked again and
 * again from one place (os.h says what holds for all functions). */
#ifndef PATALLOC_STANDING_H
#define PATALLOC_STANDING_H

#include "os/os.h"

/* Whether a child can go on as the process would: it leads its session, and has no children and no
 * timers (setitimer(2), alarm(2)); its descriptors are files that it reads, devices without a
 * state, and its standard output and error, if these are files; it shares no memory that it writes,
 * but for files below `own`. */
RARE bool os_can_stand(const char *own);

/* How many threads it has. A thread that was joined is counted for a moment more. */
RARE unsigned os_threads(void);

/* The files of its descriptors as they were when os_can_stand was called: where it has read them,
 * and what it has written. */
RARE bool os_stand_again(void);

/* In the child: a session of its own, as its parent has one, with which it ends. */
RARE void os_lead(void);

/* Waits until it has ended, and ends what it has left running in its session. */
RARE bool os_wait_for(int child, int *status);

/* Waits for a byte of a pipe; false when there will be none. */
RARE bool os_wait_for_byte(int descriptor);

#endif
