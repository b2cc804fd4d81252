/* What the preloaded library stands in front of, besides malloc (primary.h): there, the next
 * function of that name in the search order; elsewhere the C library's. */
#ifndef PATALLOC_UNDERNEATH_H
#define PATALLOC_UNDERNEATH_H

#include <signal.h>

/* sigaction(2). */
int underneath_sigaction(int signal, const struct sigaction *action, struct sigaction *before);

#endif
