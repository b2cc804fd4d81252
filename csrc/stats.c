/* Stats (see stats.h). */
#include "stats.h"

const char *const stat_names[STATS] = {
    [STAT_BLOCKS_LIVE] = "blocks_live",
    [STAT_BLOCKS_PEAK] = "blocks_peak",
    [STAT_BYTES_LIVE] = "bytes_live",
    [STAT_BYTES_PEAK] = "bytes_peak",
    [STAT_BLOCKS] = "blocks",
    [STAT_BLOCKS_REFPAGE] = "blocks_refpage",
    [STAT_BLOCKS_MEMSET] = "blocks_memset",
    [STAT_BLOCKS_ZERO] = "blocks_zero",
    [STAT_BLOCKS_UNPATTERNED] = "blocks_unpatterned",
    [STAT_BYTES_REFPAGE] = "bytes_refpage",
    [STAT_BYTES_MEMSET] = "bytes_memset",
    [STAT_BLOCKS_REUSED] = "blocks_reused",
    [STAT_FREES] = "frees",
    [STAT_REALLOCS_IN_PLACE] = "reallocs_in_place",
    [STAT_REALLOCS_MOVED] = "reallocs_moved",
    [STAT_REALLOCS_COPIED] = "reallocs_copied",
    [STAT_FALLBACK_NO_REFPAGE] = "fallback_no_refpage",
    [STAT_FALLBACK_NO_SPAN] = "fallback_no_span",
    [STAT_FALLBACK_NO_MEMORY] = "fallback_no_memory",
    [STAT_FALLBACK_PRIMARY] = "fallback_primary",
    [STAT_RUNS] = "runs",
    [STAT_RUNS_RELEASED] = "runs_released",
    [STAT_GUARDS_MISSING] = "guards_missing",
    [STAT_PAGES_COUNTED] = "pages_counted",
    [STAT_PAGES_DIRTIED] = "pages_dirtied",
    [STAT_SMALL_REQUESTS] = "small_requests",
    [STAT_SMALL_BYTES] = "small_bytes",
    [STAT_ERRORS] = "errors",
};

void stats_raise(struct stats *stats, enum stat stat, uint64_t value) {
  uint64_t seen = stats_get(stats, stat);
  while (seen < value &&
         !atomic_compare_exchange_weak_explicit(&stats->values[stat], &seen, value,
                                                memory_order_relaxed, memory_order_relaxed)) {
  }
}

void stats_restart(struct stats *stats) {
  uint64_t blocks = stats_get(stats, STAT_BLOCKS_LIVE), bytes = stats_get(stats, STAT_BYTES_LIVE);
  uint64_t runs = stats_get(stats, STAT_RUNS);
  for (int i = 0; i < STATS; i++) atomic_store_explicit(&stats->values[i], 0, memory_order_relaxed);
  stats_add(stats, STAT_BLOCKS_LIVE, blocks);
  stats_add(stats, STAT_BLOCKS_PEAK, blocks);
  stats_add(stats, STAT_BYTES_LIVE, bytes);
  stats_add(stats, STAT_BYTES_PEAK, bytes);
  stats_add(stats, STAT_RUNS, runs);
}
