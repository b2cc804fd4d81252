/* What this floor knows of a heap: the part of it that says what is watched, and where that is
 * counted. The heap hands it down. */
#ifndef PATALLOC_WATCH_H
#define PATALLOC_WATCH_H

#include "base/option.h"
#include "base/stats.h"

struct watch {
  const struct options *options; /* and so which heap it is */
  struct stats *stats;           /* where errors are counted */
  bool reports;                  /* whether faults and misuse are reported in full */
  bool hunts;                    /* whether allocations are counted, or chosen */
};

#endif
