/* The region (see region.h). What lies below the frontier is in use or a free range, and beside a
 * free range is neither another one nor the frontier: give_range joins them. */
#include "pages/region.h"

#include "base/lock.h"
#include "os/limits.h"
#include "os/memory.h"
#include "os/process.h"

#include <errno.h>

enum { BINS = 32, PROBES = 16 };

struct region region;

_Atomic size_t region_limit = SIZE_MAX;

static struct lock lock;    /* guards all below, and records in the state RANGE */
static uint32_t limit;      /* the last granule: never handed out, so that all have a neighbour */
static uint32_t frontier;   /* granules from here on were never handed out */
static uint32_t bins[BINS]; /* free ranges, by log2 of their granules */
struct table region_records;

bool region_ask_limit(void) {
  size_t most = os_address_space_limit();
  atomic_store_explicit(&region_limit, most, memory_order_relaxed);
  return most != SIZE_MAX;
}

size_t region_afford(size_t most, size_t least) {
  enum { LIMIT_SHARE = 64 };
  if (region_ask_limit())
    while (most > region_limit / LIMIT_SHARE && most > least) most /= 2;
  return most;
}

/* Choosing */

static size_t random_below(size_t most) {
  return most ? os_random() % most : 0;
}

static bool set_region(uintptr_t base, size_t size, bool reserved) {
  enum { STEP = 1 << 11 }; /* 64 KiB of the table */
  region.reserved = reserved;
  size_t count = size >> region.shift;
  if (!region_place_table(TABLE_GRANULES, &region_records, sizeof(struct granule), count, STEP))
    return false;
  region.table = (struct granule *)region_records.start;
  atomic_store_explicit(&region.base, base, memory_order_relaxed);
  limit = (uint32_t)count - 1;
  frontier = 1; /* 0 ends lists */
  atomic_store_explicit(&region.size, size, memory_order_release);
  return true;
}

/* The first eighth of the window is for tables. Blocks begin anywhere in the rest, so that there is
 * a sixteenth of it to choose from at least. */

static uintptr_t window_blocks(size_t *size) {
  size_t window, tables;
  uintptr_t start = os_window(&window);
  tables = page_up(window / 8);
  *size = window - tables;
  return start + tables;
}

static bool is_vacant(uintptr_t address, size_t size) {
  return os_reserve_at(address, size) && os_drop(address, size);
}

static bool choose_in_window(size_t size) {
  enum { TRIES = 8 };
  size_t room, granule = (size_t)1 << region.shift;
  uintptr_t start = window_blocks(&room);
  if (size > room - room / 16) size = room - room / 16;
  size &= ~(granule - 1);
  for (int i = 0; room && i < TRIES; i++) {
    uintptr_t base = (start + random_below(room - size)) & ~(granule - 1);
    if (is_vacant(base, granule)) return set_region(base, size, false);
  }
  return false;
}

/* A limit on the address space counts reservations too: leave the program seven eighths. */
RARE static bool choose_reserved(size_t size) {
  enum { LEAST = 1 << 22 };
  size_t granule = (size_t)1 << region.shift;
  if (region_ask_limit())
    while (size > region_limit / 8) size /= 2;
  for (; size >= LEAST; size /= 2) {
    char *reserved = os_reserve(size + granule);
    if (reserved)
      return set_region(((uintptr_t)reserved + granule - 1) & ~(granule - 1), size, true);
  }
  return false;
}

bool region_init(size_t size) {
  _Static_assert(GRANULE_PAGES == 1 << 4, "granule shift");
  static struct lock once;
  lock_take(&once);
  bool ready = region_size();
  if (!ready) {
    region.shift = os_page_shift + 4;
    ready = choose_in_window(size) || choose_reserved(size);
  }
  lock_drop(&once);
  return ready;
}

/* Each kind of table, and the templates, somewhere in a part of their own of the window's first
 * eighth. */
static uintptr_t place_in_part(enum region_table which, size_t size) {
  size_t window;
  uintptr_t start = os_window(&window);
  size_t part = page_down(window / 8 / REGION_PARTS);
  return size < part ? page_down(start + which * part + random_below(part - size)) : 0;
}

bool region_place_table(enum region_table which, struct table *table, size_t record, size_t most,
                        uint32_t step) {
  size_t bytes = page_up(record * most);
  table->record = (uint32_t)record;
  table->most = (uint32_t)most;
  table->step = step;
  table->reserved = region.reserved; /* the rest is zeros, and others may be looking */
  table->start = region.reserved ? os_reserve(bytes) : (char *)place_in_part(which, bytes);
  return table->start;
}

bool region_has_table(uintptr_t address) {
  size_t window;
  uintptr_t start = os_window(&window);
  return !region.reserved && address - start < window / 8;
}

/* Templates are few, and so chance keeps them apart. */
uintptr_t region_take_apart(size_t size) {
  enum { TRIES = 8 };
  size_t table = os_page_table(), room = (size + 2 * table - 1) / table * table;
  for (int i = 0; i < TRIES; i++) {
    uintptr_t place = region.reserved ? (uintptr_t)os_reserve(room + table)
                                      : place_in_part(TEMPLATES, room + table);
    if (!place) return errno = ENOMEM, 0;
    uintptr_t start = (place + table - 1) & ~(table - 1);
    if (region.reserved) {
      os_drop(place, start - place);
      os_drop(start + room, place + table - start);
      return start;
    }
    if (os_reserve_at(start, size)) return start;
    if (errno != EEXIST) return 0;
  }
  return errno = ENOMEM, 0;
}

bool region_known(uint32_t granule) {
  return table_has(&region_records, granule);
}

/* Holding */

bool region_hold(uintptr_t from, uintptr_t to) {
  return region.reserved || os_reserve_at(from, to - from);
}

bool region_drop(uintptr_t from, uintptr_t to) {
  return (region.reserved ? os_release : os_drop)(from, to - from);
}

void region_lose(uint32_t first) {
  atomic_store_explicit(&region.table[first].state, GRANULE_FOREIGN, memory_order_release);
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
    uint32_t needed = frontier + count; /* with the neighbour's record */
    if (table_has(&region_records, needed)) break;
    lock_drop(&lock);
    bool has = table_reach(&region_records, needed);
    lock_take(&lock);
    if (!has) return errno = ENOMEM, 0;
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
  if (count > limit - first || !table_reach(&region_records, first + count)) return false;
  lock_take(&lock);
  if (first == frontier) {
    taken = count <= limit - frontier && table_has(&region_records, frontier + count);
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
  lock_take(&region_records.lock);
  lock_take(&lock);
}

void region_unlock(void) {
  lock_drop(&lock);
  lock_drop(&region_records.lock);
}
