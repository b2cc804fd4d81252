/* Held blocks: small ones that were freed and that the primary doesn't get back yet, so that
 * freeing them again is told for what it is. */
#ifndef PATALLOC_HELD_H
#define PATALLOC_HELD_H

#include "watch/ledger.h"

#include <stddef.h>

/* Of a block that the ledger has as held. Another may leave for it. */
void held_add(const struct small_block *block);

/* The primary gets all of them; returns their bytes. */
USUAL size_t held_drain(void);

#endif
