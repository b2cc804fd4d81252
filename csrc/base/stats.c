/* Stats (see stats.h). */
#include "base/stats.h"

const char stat_names[STATS][24] = {
    [STAT_BLOCKS] = "blocks",
    [STAT_BLOCKS_REFPAGE] = "blocks_refpage",
    [STAT_BLOCKS_MEMSET] = "blocks_memset",
    [STAT_BLOCKS_ZERO] = "blocks_zero",
    [STAT_BLOCKS_UNPATTERNED] = "blocks_unpatterned",
    [STAT_BYTES_REFPAGE] = "bytes_refpage",
    [STAT_BYTES_MEMSET] = "bytes_memset",
    [STAT_BLOCKS_REUSED] = "blocks_reused",
    [STAT_BLOCKS_KEPT] = "blocks_kept",
    [STAT_BLOCKS_DENSE] = "blocks_dense",
    [STAT_FREES] = "frees",
    [STAT_FREES_RESET] = "frees_reset",
    [STAT_FREES_KEPT] = "frees_kept",
    [STAT_FREES_SCANNED] = "frees_scanned",
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

static uint64_t get(_Atomic uint64_t *value) {
  return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic uint64_t *value, uint64_t to) {
  atomic_store_explicit(value, to, memory_order_relaxed);
}

static void add_and_raise(_Atomic uint64_t *value, uint64_t amount, _Atomic uint64_t *peak) {
  uint64_t now = atomic_fetch_add_explicit(value, amount, memory_order_relaxed) + amount;
  uint64_t seen = get(peak);
  while (seen < now && !atomic_compare_exchange_weak_explicit(
                           peak, &seen, now, memory_order_relaxed, memory_order_relaxed)) {
  }
}

void usage_add(struct usage *usage, uint64_t blocks, uint64_t bytes) {
  add_and_raise(&usage->blocks, blocks, &usage->blocks_peak);
  add_and_raise(&usage->bytes, bytes, &usage->bytes_peak);
}

void usage_subtract(struct usage *usage, uint64_t blocks, uint64_t bytes) {
  atomic_fetch_sub_explicit(&usage->blocks, blocks, memory_order_relaxed);
  atomic_fetch_sub_explicit(&usage->bytes, bytes, memory_order_relaxed);
}

void usage_need(struct usage *usage, uint64_t bytes) {
  add_and_raise(&usage->need, bytes, &usage->need_peak);
}

void usage_need_no_more(struct usage *usage, uint64_t bytes) {
  atomic_fetch_sub_explicit(&usage->need, bytes, memory_order_relaxed);
}

/* Not to below what is needed now; lost where another thread moves the peak, as it is an estimate.
 */
void usage_never_needed(struct usage *usage, uint64_t bytes) {
  uint64_t peak = get(&usage->need_peak), now = get(&usage->need);
  uint64_t lowered = peak > bytes + now ? peak - bytes : now;
  if (lowered < peak) atomic_compare_exchange_strong(&usage->need_peak, &peak, lowered);
}

void stats_restart(struct stats *stats) {
  for (int i = 0; i < STATS; i++)
    if (i != STAT_RUNS) set(&stats->values[i], 0);
}

void usage_restart(struct usage *usage) {
  set(&usage->blocks_peak, get(&usage->blocks));
  set(&usage->bytes_peak, get(&usage->bytes));
  set(&usage->need_peak, get(&usage->need));
}
