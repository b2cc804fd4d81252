/* Destinations: where an option says that data goes: a path, in which %p is the process's number,
 * or fd:N. Async-signal-safe. */
#ifndef PATALLOC_DESTINATION_H
#define PATALLOC_DESTINATION_H

#include "os/files.h"

/* Which file fd:N is for when it is chosen, as the program may put another one there; of a path
 * nothing. */
USUAL void destination_identify(const char *destination, struct os_identity *identity);

/* Opens it, to replace what is there, to append to it, to read it, or to map a new file, and calls
 * `function`, apart from the program's descriptors (os/apart.h); of fd:N it gets that, if it is
 * still the file that it was. False with errno where it can't be opened, or as `function` has it.
 */
enum destination_use { OPEN_NEW, OPEN_APPEND, OPEN_READ, OPEN_SHARED };
typedef bool destination_function(int descriptor, void *context);
bool destination_visit(const char *destination, const struct os_identity *identity,
                       enum destination_use use, destination_function *function, void *context);

#endif
