/* Stats (see stats.h). */
#include "base/stats.h"

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
