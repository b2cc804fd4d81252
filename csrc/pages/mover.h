/* Memory whose missing pages are guards, and whose pages move at one call from where they are not
 * to be reached any more to where they are missing (userfaultfd(2), UFFDIO_MOVE).
 *
 * It is so by a descriptor. When the program closes that, missing pages are zeros; so they are in a
 * forked child, where the descriptor is the parent's memory's: it is not used there, and a child of
 * fork(3) has another one in its place. Where there is none all functions here refuse. */
#ifndef PATALLOC_MOVER_H
#define PATALLOC_MOVER_H

#include "base/option.h"
#include "os/os.h"

/* Opens it, if these options want it. With a lock held that all who call it hold. */
bool mover_init(const struct options *options);

/* Whether it is there, as far as is known; and whether it has been, and the program has closed it.
 */
bool mover_is_there(void);
bool mover_is_lost(void);

/* Of this anonymous memory from here on. */
bool mover_watch(uintptr_t address, size_t size);

/* Makes a page of zeros, moves one. False with errno: all is as it was. */
bool mover_make(uintptr_t to);
bool mover_move(uintptr_t from, uintptr_t to);

/* In the child of a fork: another descriptor in place of its parent's. False where there is none,
 * or is not to be. */
RARE bool mover_restart(void);

#endif
