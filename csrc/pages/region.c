/* The region (see region.h). What lies below the frontier is in use or a free range, and beside a
 * free range is neither another one nor the frontier: give_range joins them. */
#include "pages/region.h"

#include "base/lock.h"
#include "os/limits.h"
#include "os/memory.h"

#include <errno.h>

enum { BINS = 32, PROBES = 16 };

struct region region;

static struct lock lock;  /* guards all below, and records in the state RANGE */
static uint32_t limit;    /* the last granule: never handed out, so that all have a neighbour */
static uint32_t frontier; /* granules from here on were never handed out */
static _Atomic uint32_t committed; /* the table can be read and written below this granule */
static uint32_t bins[BINS];        /* free ranges, by log2 of their granules */

/* A limit on the address space counts reservations too: leave the program seven eighths. */
static size_t allowed_size(size_t size) {
  size_t most = os_address_space_limit();
  if (most != SIZE_MAX) most /= 8;
  while (size > most) size /= 2;
  return size;
}

static bool reserve_region(size_t size) {
  unsigned shift = os_page_shift + 4;
  _Static_assert(GRANULE_PAGES == 1 << 4, "granule shift");
  enum { LEAST = 1 << 22 };
  for (size = allowed_size(size); size >= LEAST; size /= 2) {
    size_t granules = size >> shift, table = page_up(granules * sizeof(struct granule));
    char *reserved = os_reserve(table + size + ((size_t)1 << shift));
    if (!reserved) continue;
    uintptr_t mask = ((uintptr_t)1 << shift) - 1;
    region.table = (struct granule *)reserved;
    region.shift = shift;
    region.base = ((uintptr_t)reserved + table + mask) & ~mask;
    limit = (uint32_t)granules - 1;
    frontier = 1; /* 0 ends lists */
    atomic_store_explicit(&region.size, size, memory_order_release);
    return true;
  }
  return false;
}

bool region_init(size_t size) {
  static struct lock once;
  lock_take(&once);
  bool ready = region_size() || reserve_region(size);
  lock_drop(&once);
  return ready;
}

/* Makes the table usable up to `granule`; without the lock, as two threads may do the same twice.
 */
static bool commit_table(uint32_t granule) {
  enum { STEP = 1 << 13 }; /* records: 256 KiB of the table */
  uint32_t from = committed, to = (granule + STEP) & ~(uint32_t)(STEP - 1);
  if (to > limit + 1) to = limit + 1;
  uintptr_t start = page_down((uintptr_t)(region.table + from));
  lock_drop(&lock);
  bool done = os_commit(start, page_up((uintptr_t)(region.table + to)) - start);
  lock_take(&lock);
  if (done && to > committed) committed = to;
  return done;
}

bool region_known(uint32_t granule) {
  return granule < committed;
}

/* Free ranges */

static unsigned range_bin(uint32_t count) {
  return 31u - (unsigned)__builtin_clz(count);
}

static void set_range_state(uint32_t granule, uint32_t state) {
  atomic_store_explicit(&region.table[granule].state, state, memory_order_relaxed);
}

static bool is_range(uint32_t granule) {
  return granule && granule < frontier &&
         atomic_load_explicit(&region.table[granule].state, memory_order_relaxed) == GRANULE_RANGE;
}

static void insert_range(uint32_t first, uint32_t count) {
  uint32_t *head = &bins[range_bin(count)];
  region.table[first].size = region.table[first + count - 1].size = count;
  region.table[first].prev = 0;
  region.table[first].next = *head;
  if (*head) region.table[*head].prev = first;
  *head = first;
  set_range_state(first, GRANULE_RANGE);
  set_range_state(first + count - 1, GRANULE_RANGE);
}

static uint32_t remove_range(uint32_t first) {
  struct granule *range = &region.table[first];
  uint32_t count = (uint32_t)range->size;
  if (range->prev)
    region.table[range->prev].next = range->next;
  else
    bins[range_bin(count)] = range->next;
  if (range->next) region.table[range->next].prev = range->prev;
  set_range_state(first, GRANULE_NONE);
  set_range_state(first + count - 1, GRANULE_NONE);
  return count;
}

static void give_range(uint32_t first, uint32_t count) {
  if (is_range(first + count)) count += remove_range(first + count);
  if (is_range(first - 1)) {
    uint32_t before = (uint32_t)region.table[first - 1].size;
    first -= before;
    count += remove_range(first);
  }
  if (first + count == frontier)
    frontier = first;
  else
    insert_range(first, count);
}

/* The first range of at least `count` granules among a few, then among larger ones. */
static uint32_t range_for(uint32_t count) {
  int probes = PROBES;
  for (uint32_t at = bins[range_bin(count)]; at && probes--; at = region.table[at].next)
    if (region.table[at].size >= count) return at;
  for (unsigned bin = range_bin(count) + 1; bin < BINS; bin++)
    if (bins[bin]) return bins[bin];
  return 0;
}

static uint32_t take_range(uint32_t count) {
  uint32_t first = range_for(count);
  if (first) {
    uint32_t found = remove_range(first);
    if (found > count) insert_range(first + count, found - count);
    return first;
  }
  for (;;) {
    if (count > limit - frontier) return errno = ENOMEM, 0;
    if (frontier + count < committed) break; /* so that the neighbour's record can be read too */
    if (!commit_table(frontier + count)) return errno = ENOMEM, 0;
  }
  first = frontier;
  frontier += count;
  return first;
}

uint32_t region_take(uint32_t count, uint32_t lead, size_t alignment) {
  size_t step = alignment >> region.shift, wanted = count + (step ? step - 1 : 0);
  if (wanted > limit) return errno = ENOMEM, 0;
  lock_take(&lock);
  uint32_t first = take_range((uint32_t)wanted);
  if (first && wanted > count) {
    uintptr_t address = granule_address(first + lead);
    uint32_t skip =
        (uint32_t)((((address + alignment - 1) & ~(alignment - 1)) - address) >> region.shift);
    if (skip) give_range(first, skip);
    first += skip;
    if (wanted > skip + count) give_range(first + count, (uint32_t)wanted - skip - count);
  }
  lock_drop(&lock);
  return first;
}

bool region_take_at(uint32_t first, uint32_t count) {
  bool taken = false;
  lock_take(&lock);
  if (first == frontier) {
    taken = count <= limit - frontier && frontier + count < committed;
    if (taken) frontier += count;
  } else if (is_range(first) && region.table[first].size >= count) {
    uint32_t found = remove_range(first);
    if (found > count) insert_range(first + count, found - count);
    taken = true;
  }
  lock_drop(&lock);
  return taken;
}

void region_give(uint32_t first, uint32_t count) {
  lock_take(&lock);
  give_range(first, count);
  lock_drop(&lock);
}

/* Free neighbours are joined, so what lies behind one is in use. */
void region_beside(uint32_t first, uint32_t count, uint32_t *before, uint32_t *after) {
  lock_take(&lock);
  *before = first - 1;
  if (is_range(*before)) *before -= (uint32_t)region.table[*before].size;
  *after = first + count;
  if (is_range(*after)) *after += (uint32_t)region.table[*after].size;
  if (*after >= frontier) *after = 0;
  lock_drop(&lock);
}

void region_lock(void) {
  lock_take(&lock);
}

void region_unlock(void) {
  lock_drop(&lock);
}
