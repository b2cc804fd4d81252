/* Stats: counters of one heap, kept with relaxed atomics. All functions are async-signal-safe. */
#ifndef PATALLOC_STATS_H
#define PATALLOC_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* In the order in which they are written out; stat_names.c has their names. */
enum stat {
  STAT_BLOCKS, /* since the start, and the four ways in which they got their content */
  STAT_BLOCKS_REFPAGE,
  STAT_BLOCKS_MEMSET,
  STAT_BLOCKS_ZERO,        /* calloc */
  STAT_BLOCKS_UNPATTERNED, /* pattern none, or zero pages where no pattern could be had */
  STAT_BYTES_REFPAGE,
  STAT_BYTES_MEMSET,
  STAT_BLOCKS_REUSED, /* of all, those in a place that was ready: freed, or set up with another */
  STAT_BLOCKS_KEPT,   /* of those, the ones whose pages had been kept */
  STAT_BLOCKS_DENSE,  /* memset, as blocks of their size are written throughout */
  STAT_FREES,         /* and the three ways in which their pages were dealt with */
  STAT_FREES_RESET,
  STAT_FREES_KEPT,
  STAT_FREES_SCANNED,
  STAT_REALLOCS_IN_PLACE,
  STAT_REALLOCS_MOVED, /* by moving pages */
  STAT_REALLOCS_COPIED,
  STAT_FALLBACK_NO_REFPAGE, /* memset, as there was no refpage */
  STAT_FALLBACK_NO_SPAN,    /* memset, as no span could be mapped */
  STAT_FALLBACK_NO_MEMORY,  /* zero pages, as a memset would not have fitted in memory */
  STAT_FALLBACK_PRIMARY,    /* the primary's, as there was no address space */
  STAT_RUNS,
  STAT_RUNS_RELEASED,
  STAT_GUARDS_MISSING,
  STAT_PAGES_COUNTED, /* with count=yes: pages of freed blocks, and how many were dirty */
  STAT_PAGES_DIRTIED,
  STAT_SMALL_REQUESTS, /* with count=yes */
  STAT_SMALL_BYTES,
  STAT_SMALL_GUARDED,
  STAT_NEW_REQUESTS, /* with count=yes: by C++'s operators */
  STAT_ERRORS,
  STATS,
};

/* Each shard of a heap has its own, so that threads do not meet; the heap's are their sum. */
struct stats {
  _Atomic uint64_t values[STATS];
};

/* What a heap uses now, and the most it used at one time. */
struct usage {
  _Atomic uint64_t blocks, blocks_peak;
  _Atomic uint64_t bytes, bytes_peak; /* as requested */
  _Atomic uint64_t held, held_peak;   /* of memory: what live blocks need, as those of their sizes
                                         were seen to write it, and freed ones keep */
  _Atomic uint64_t retained;          /* of that, what freed ones keep */
};

static inline uint64_t stats_get(const struct stats *stats, enum stat stat) {
  return atomic_load_explicit(&stats->values[stat], memory_order_relaxed);
}

static inline void stats_add(struct stats *stats, enum stat stat, uint64_t amount) {
  atomic_fetch_add_explicit(&stats->values[stat], amount, memory_order_relaxed);
}

static inline void stats_subtract(struct stats *stats, enum stat stat, uint64_t amount) {
  atomic_fetch_sub_explicit(&stats->values[stat], amount, memory_order_relaxed);
}

/* Counts a block of `bytes` in, or out. */
void usage_add(struct usage *usage, uint64_t blocks, uint64_t bytes);
void usage_subtract(struct usage *usage, uint64_t blocks, uint64_t bytes);

/* Counts what a block holds of memory, which was counted as `before`; and out of the peak what one
 * never wrote. */
void usage_hold(struct usage *usage, uint64_t before, uint64_t now);
void usage_never_held(struct usage *usage, uint64_t bytes);

/* Whether so much more may be held, with so much more that is kept in freed blocks: as much as was
 * held at the peak; or more, if all that is kept is a mebibyte at most. */
bool usage_allows(const struct usage *usage, uint64_t more, uint64_t kept_more);

/* Forgets the past and keeps the present: what a forked child starts with. */
void stats_restart(struct stats *stats);
void usage_restart(struct usage *usage);

#endif
