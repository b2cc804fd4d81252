/* Alternate signal stacks (sigaltstack(2)): a thread whose stack is full can't be told of on it. So
 * where deaths are told each thread gets one, which the program does not see, and which gives way
 * to one of its own. */
#ifndef PATALLOC_ALTERNATE_H
#define PATALLOC_ALTERNATE_H

#include "base/rare.h"

typedef void *routine_function(void *);

/* From here on threads get them, and the calling one does. Once, before there are others. */
RARE void alternate_start(void);

/* For a thread that is to be made: what alternate_run, as its function, is to be given instead of
 * the argument; NULL where it gets none. alternate_drop is for a thread that could not be made. */
void *alternate_prepare(routine_function *routine, void *argument);
void *alternate_run(void *prepared);
void alternate_drop(void *prepared);

#endif
