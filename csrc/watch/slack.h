/* Slack: what lies between a block and the pages or the piece of memory that it has. It holds the
 * pattern, and whoever overwrites it has gone past the block's end, or before its start, by less
 * than would reach a guard. */
#ifndef PATALLOC_SLACK_H
#define PATALLOC_SLACK_H

#include "watch/ledger.h"
#include "watch/watch.h"

/* What is asked of the primary besides, where small blocks are checked. */
enum { SMALL_SLACK = 16 };

/* Whether it is checked around blocks, and around small ones too. */
static inline bool slack_checks(const struct options *options, enum slack_check which) {
  return options->slack_check >= (int)which && options->pattern.size;
}

/* Looks at a block that is BUSY, if that is asked for; `call` is who asks. What is found is
 * reported, and ends the process unless on_error=continue. */
void slack_check_block(const struct watch *watch, const char *call, uint32_t granule);
static inline void slack_check(const struct watch *watch, const char *call, uint32_t granule) {
  if (slack_checks(watch->options, SLACK_LARGE)) slack_check_block(watch, call, granule);
}

/* The same of a small block. */
void slack_check_small(const struct watch *watch, const char *call,
                       const struct small_block *block);

/* Whether a block's slack on a side was overwritten, if that is asked for: what `call` is to tell.
 * Async-signal-safe. */
enum slack_side { SLACK_BEFORE, SLACK_AFTER, SLACK_SIDES };
struct event;
bool slack_find(const char *call, uint32_t granule, enum slack_side side, struct event *event);
bool slack_find_small(const char *call, const struct small_block *block, struct event *event);

#endif
