/* What the stats are called, where they are written out. */
#ifndef PATALLOC_STAT_NAMES_H
#define PATALLOC_STAT_NAMES_H

#include "base/stats.h"

extern const char stat_names[STATS][24]; /* no pointers, which each process would relocate */

#endif
