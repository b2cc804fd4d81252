/* Stats (see stats.h). */
#include "base/stats.h"

static uint64_t get(const _Atomic uint64_t *value) {
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

void usage_hold(struct usage *usage, uint64_t before, uint64_t now) {
  if (now > before) add_and_raise(&usage->held, now - before, &usage->held_peak);
  if (now < before) atomic_fetch_sub_explicit(&usage->held, before - now, memory_order_relaxed);
}

/* Not to below what is held now; lost where another thread moves the peak, as it is an estimate.
 */
void usage_never_held(struct usage *usage, uint64_t bytes) {
  uint64_t peak = get(&usage->held_peak), now = get(&usage->held);
  uint64_t lowered = peak > bytes + now ? peak - bytes : now;
  if (lowered < peak) atomic_compare_exchange_strong(&usage->held_peak, &peak, lowered);
}

bool usage_allows(const struct usage *usage, uint64_t more, uint64_t kept_more) {
  enum { KEPT_ALWAYS = 1 << 20 };
  return get(&usage->retained) + kept_more <= KEPT_ALWAYS ||
         get(&usage->held) + more <= get(&usage->held_peak);
}

void stats_restart(struct stats *stats) {
  for (int i = 0; i < STATS; i++)
    if (i != STAT_RUNS) set(&stats->values[i], 0);
}

void usage_restart(struct usage *usage) {
  set(&usage->blocks_peak, get(&usage->blocks));
  set(&usage->bytes_peak, get(&usage->bytes));
  set(&usage->held_peak, get(&usage->held));
}
