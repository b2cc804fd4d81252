/* Destinations: where an option says that data goes: a path, in which %p is the process's number,
 * or fd:N. Async-signal-safe. */
#ifndef PATALLOC_DESTINATION_H
#define PATALLOC_DESTINATION_H

#include <stdbool.h>
#include <stddef.h>

/* Opens it, to replace what is there, to append to it, to read it, or to map a new file; -1 with
 * errno. */
enum destination_use { OPEN_NEW, OPEN_APPEND, OPEN_READ, OPEN_SHARED };
int destination_open(const char *destination, enum destination_use use);

/* After destination_open; leaves a descriptor alone that was given by number. */
void destination_close(const char *destination, int descriptor);

/* The number in fd:N; -1 for a path. */
int destination_descriptor(const char *destination);

#endif
