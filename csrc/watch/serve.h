/* A fork server: a process that stands at an allocation, from which others go on, for runs of a
 * hunt that are alike until there. Asked by src/patalloc/hunt/server.py, through two fifos. */
#ifndef PATALLOC_SERVE_H
#define PATALLOC_SERVE_H

#include "base/rare.h"

#include <stdbool.h>

/* Before any library asks for calls around a fork. */
RARE void serve_prepare(void);

/* Opens the fifos, whose names are that with .orders and .answers, and answers whether this process
 * can be forked so: shared memory in files below `own` does not count. */
RARE bool serve_begin(const char *name, const char *own);

/* Waits for an order; false when there will be none. */
RARE bool serve_wait(void);

/* Forks. The parent answers with the child's number, waits until it has ended, and answers with its
 * status. It fails where there is no child that is alike. */
enum served { SERVE_FAILED, SERVE_DONE, SERVE_IN_CHILD };
RARE enum served serve_fork(void);

#endif
