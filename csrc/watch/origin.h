/* Origins: by which functions a block was requested, and so which ones are to give it back. Kept of
 * blocks that are known one by one: those in slots, in the ledger, and in the history. Blocks are
 * malloc's until it is said that they are another's; who says so only where it is checked. */
#ifndef PATALLOC_ORIGIN_H
#define PATALLOC_ORIGIN_H

#include "watch/history.h"
#include "watch/watch.h"

enum origin { ORIGIN_MALLOC, ORIGIN_NEW, ORIGIN_NEW_ARRAY, ORIGIN_CHECKED };

/* Whether they are checked: where all small blocks are known. A sample would accuse programs by
 * chance of what they get away with. */
static inline bool origin_is_checked(const struct options *options) {
  return options->guard_small == 1 || options->slack_check == SLACK_ALL;
}

/* Of a live block that the program hasn't got yet; with the alignment that was asked for, or 0. */
void origin_set(const void *pointer, enum origin origin, size_t alignment);

/* What is told of a block that is given back. */
struct giving {
  const char *call;
  enum origin origin;
  bool sized;     /* whether its size is told */
  size_t size;    /* that, bytes */
  size_t aligned; /* the alignment; 0: none */
};

/* Reports what does not agree with the origin of the block, if one is known there; it is CHECKED
 * from here on. */
void origin_check(const struct watch *watch, const void *pointer, const struct giving *giving);

/* For free and realloc, which find the origin on their way. */
RARE void origin_report(const struct watch *watch, const char *call, const void *pointer,
                        uint8_t origin);
static inline void origin_expect_malloc(const struct watch *watch, const char *call,
                                        const void *pointer, uint8_t origin) {
  if (origin != ORIGIN_MALLOC && origin != ORIGIN_CHECKED)
    origin_report(watch, call, pointer, origin);
}

/* The same of a block whose origin the history may have; that is BUSY. */
static inline void origin_expect_large(const struct watch *watch, const char *call,
                                       const void *pointer, uint32_t granule) {
  uint8_t origin;
  if (origin_is_checked(watch->options) &&
      history_exchange_origin(granule, ORIGIN_CHECKED, &origin))
    origin_expect_malloc(watch, call, pointer, origin);
}

#endif
