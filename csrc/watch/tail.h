/* Tails: of small blocks whose slack is checked (slack_check=all) the last bytes that the primary
 * gave. A tail says how many bytes were requested, and who did; what lies between is slack, and
 * holds the pattern. Not safe in a signal handler. */
#ifndef PATALLOC_TAIL_H
#define PATALLOC_TAIL_H

#include "watch/slack.h"

struct tail {
  uint32_t stack; /* of the allocation */
  uint32_t check;
  uint64_t size; /* bytes requested */
};
/* To ask the primary for, besides: some of the pattern lie before a tail at least. Of a freed block
 * glibc overwrites the last eight, and so the size. */
enum { TAIL_BYTES = 8 + sizeof(struct tail) };
_Static_assert(TAIL_BYTES == 24, "as the option slack_check says");

static inline bool tail_is_due(const struct watch *watch) {
  return slack_checks(watch->options, SLACK_ALL);
}

/* Gives a block of `size` bytes its tail; its slack holds the pattern already. */
void tail_put(const struct watch *watch, void *pointer, size_t size);

/* What there is, for `call`: a live block, of tail->size bytes; one that was freed; or nothing that
 * can be read, which is for the primary to judge. What was overwritten, and that a block is freed
 * already, has been reported. */
enum tail_state { TAIL_LIVE, TAIL_FREED, TAIL_UNREADABLE };
enum tail_state tail_check(const struct watch *watch, const char *call, void *pointer,
                           struct tail *tail);

/* Marks a live block, of which tail_check has told this, as freed. */
void tail_end(const struct watch *watch, void *pointer, struct tail *tail);

#endif
