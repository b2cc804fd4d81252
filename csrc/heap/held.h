/* Held blocks: small ones that were freed and that the primary doesn't get back yet, so that
 * freeing them again is told for what it is. */
#ifndef PATALLOC_HELD_H
#define PATALLOC_HELD_H

#include "watch/ledger.h"
#include "watch/report.h"

#include <stddef.h>

/* Of a block that the ledger has as held. Another may leave for it, and is looked at: what was
 * written to it since is reported. */
void held_add(const struct small_block *block, const struct watch *watch);

/* Looks at all held blocks, as check_all has it. */
RARE void held_look(const char *call, report_tell *tell);

/* The primary gets all of them; returns their bytes. */
RARE size_t held_drain_all(const struct watch *watch);
extern _Atomic bool held_used;
static inline size_t held_drain(const struct watch *watch) {
  return held_used ? held_drain_all(watch) : 0;
}

#endif
