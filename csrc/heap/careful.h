/* Small requests with care: their slack is checked (slack_check=all; watch/tail.h), some hold
 * another pattern (watch/hunt.h), and what is freed is filled (small_fill=both). */
#ifndef PATALLOC_CAREFUL_H
#define PATALLOC_CAREFUL_H

#include "heap/heap.h"
#include "watch/hunt.h"
#include "watch/slack.h"

/* Whether a heap with these options handles small requests so. */
static inline bool careful_is_due(const struct options *options) {
  bool fills = options->small_fill == SMALL_FILL_BOTH && options->pattern.size;
  return fills || slack_checks(options, SLACK_ALL) || hunt_is_asked_for(options);
}

extern const struct small_path small_careful;

#endif
