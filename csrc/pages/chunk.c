/* Chunks (see chunk.h). */
#include "pages/chunk.h"

#include "os/features.h"
#include "os/guards.h"
#include "os/memory.h"
#include "os/process.h"
#include "pages/region.h"
#include "pages/run.h"

#include <errno.h>

struct chunk *chunk_table;
_Atomic uintptr_t chunk_base;
uintptr_t chunk_bytes;

static struct table chunks;
static _Atomic uint32_t next = 1; /* 0 is none */
static _Atomic uint32_t mapped;   /* chunks now, of which each may be a mapping */
static _Atomic uint32_t split;    /* mappings that pages of protected ones have made more */

static size_t size_of_chunk(void) {
  return chunk_slot_bytes() << CHUNK_LOG;
}

static uintptr_t address_of(uint32_t number) {
  return chunk_slot_address(number << CHUNK_LOG);
}

bool chunk_init(const struct options *options) {
  enum { MOST = 1 << 23, STEP = 1 << 9 }; /* 16 TiB at 4 KiB pages */
  static struct lock once;
  if (chunk_base) return true;
  if (!region_init(options->reserve)) return false;
  size_t room, size = size_of_chunk();
  lock_take(&once);
  uintptr_t start = os_low_window(&room);
  size_t most = room / 2 / size < MOST ? room / 2 / size : MOST;
  if (!chunk_base && most > 1 && !region.reserved &&
      region_place_table(TABLE_CHUNKS, &chunks, sizeof(struct chunk), most, STEP)) {
    chunk_table = (struct chunk *)chunks.start;
    chunk_bytes = most * size;
    uintptr_t place = start + os_random() % (room - chunk_bytes);
    atomic_store_explicit(&chunk_base, (place + size - 1) & ~(size - 1), memory_order_release);
  }
  lock_drop(&once);
  return chunk_base;
}

uint32_t chunk_count(void) {
  uint32_t count = next;
  while (count > 1 && !table_has(&chunks, count - 1)) count--;
  return count;
}

/* A number that nobody has had, and nothing mapped there; its record is zeros. */
static uint32_t new_number(void) {
  uint32_t number = next++, most = (uint32_t)(chunk_bytes / size_of_chunk());
  if (number >= most) next = most; /* for good */
  bool had = number < most && table_reach(&chunks, number);
  return had ? number : (errno = ENOMEM, 0);
}

/* A page between guards that are page protection makes two mappings more. */
enum { SPLIT = 2 };

static bool mappings_left(void) {
  return mapped + split + SPLIT < vmas_allowed() / 4;
}

static void open_chunk(uint32_t number) {
  chunk_table[number].wanted = UINT32_MAX;
  chunk_table[number].state = CHUNK_OPEN;
  mapped++;
}

/* With errno EEXIST where somebody's mapping is there. */
static bool map_guards(uint32_t number, const struct options *options) {
  uintptr_t address = address_of(number);
  size_t size = size_of_chunk();
  chunk_table[number].is_protected = !os_uses(options, OS_GUARD_REGIONS);
  if (chunk_table[number].is_protected) return os_reserve_at(address, size);
  if (!os_map_at(address, size)) return false;
  if (os_guard_install(address, size)) return true;
  int error = errno;
  os_drop(address, size);
  return errno = error, false;
}

/* Where somebody's mapping is found there, the next one is tried. Where address space has a limit
 * most of it is left to the primary. */
uint32_t chunk_new(const struct options *options) {
  enum { LIMIT_SHARE = 4 };
  uint32_t number;
  bool room = !region_ask_limit() || mapped < region_limit / LIMIT_SHARE / size_of_chunk();
  if (!room || (!os_uses(options, OS_GUARD_REGIONS) && !mappings_left())) return errno = ENOMEM, 0;
  while ((number = new_number()))
    if (map_guards(number, options))
      return open_chunk(number), number;
    else if (errno != EEXIST)
      break;
  return 0;
}

static void set_pages(struct chunk *chunk, uint32_t from, uint32_t to) {
  for (uint32_t slot = from; slot < to; slot++)
    atomic_fetch_or_explicit(&chunk->pages[slot / 64], (uint64_t)1 << slot % 64,
                             memory_order_relaxed);
}

static bool remove_guards(const struct os_range *ranges, unsigned count,
                          const struct options *options) {
  bool by_one = os_uses(options, OS_PROCESS_MADVISE) && os_guard_remove_all(ranges, count);
  for (unsigned i = 0; !by_one && i < count; i++)
    if (!os_guard_remove(ranges[i].start, os_page)) return false;
  if (by_one && os_uses(options, OS_POPULATE)) os_populate_all(ranges, count); /* a hint */
  return true;
}

static bool unprotect(uintptr_t page) {
  if (!mappings_left()) return errno = ENOMEM, false;
  bool done = os_protect(page, os_page, true);
  if (done) split += SPLIT;
  return done;
}

bool chunk_make(uint32_t number, unsigned count, const struct options *options) {
  struct chunk *chunk = &chunk_table[number];
  struct os_range ranges[OS_RANGES_MOST];
  uint32_t made = chunk->made;
  if (count > CHUNK_SLOTS - made) count = CHUNK_SLOTS - made;
  if (count > OS_RANGES_MOST) count = OS_RANGES_MOST;
  if (chunk->is_protected) count = 1;
  for (unsigned i = 0; i < count; i++)
    ranges[i] = (struct os_range){chunk_slot_address((number << CHUNK_LOG) + made + i), os_page};
  if (chunk->is_protected ? !unprotect(ranges->start) : !remove_guards(ranges, count, options))
    return false;
  set_pages(chunk, made, made + count);
  chunk->made = made + count;
  return true;
}

static unsigned count_pages(const struct chunk *chunk) {
  unsigned count = 0;
  for (int i = 0; i < CHUNK_SLOTS / 64; i++)
    count += (unsigned)__builtin_popcountll(chunk->pages[i]);
  return count;
}

/* A chunk that was moved is a mapping of its own. Moving few pages costs more than making them. */
uint32_t chunk_move(uint32_t number) {
  enum { PAGES_LEAST = 48 };
  struct chunk *chunk = &chunk_table[number];
  if (chunk->is_protected || count_pages(chunk) < PAGES_LEAST || !mappings_left()) return 0;
  uint32_t target = new_number();
  if (!target) return 0;
  if (!os_move(address_of(number), address_of(target), size_of_chunk())) return 0;
  struct chunk *moved = &chunk_table[target];
  moved->made = CHUNK_SLOTS;
  for (int i = 0; i < CHUNK_SLOTS / 64; i++) moved->pages[i] = chunk->pages[i];
  open_chunk(target);
  chunk->state = CHUNK_GONE;
  mapped--;
  return target;
}

void chunk_end(uint32_t number) {
  const struct chunk *chunk = &chunk_table[number];
  os_drop(address_of(number), size_of_chunk());
  if (chunk->is_protected) split -= SPLIT * count_pages(chunk);
  chunk_table[number].state = CHUNK_GONE;
  mapped--;
}

static void install_guards(const struct os_range *ranges, unsigned count,
                           const struct options *options) {
  if (os_uses(options, OS_PROCESS_MADVISE) && os_reset_all(ranges, count) &&
      os_guard_install_all(ranges, count))
    return;
  for (unsigned i = 0; i < count; i++) {
    os_reset(ranges[i].start, ranges[i].size);
    os_guard_install(ranges[i].start, ranges[i].size);
  }
}

/* A new mapping of the pages gives them back as well. */
static void protect(const struct os_range *ranges, unsigned count) {
  for (unsigned i = 0; i < count; i++)
    if (!os_release(ranges[i].start, ranges[i].size)) {
      os_reset(ranges[i].start, ranges[i].size);
      os_protect(ranges[i].start, ranges[i].size, false);
    }
}

/* Neighbours by one range, which covers the guards between. */
void chunk_shut(const uint32_t *slots, unsigned count, const struct options *options) {
  struct chunk *chunk = chunk_of(*slots);
  struct os_range ranges[OS_RANGES_MOST];
  unsigned many = 0;
  for (unsigned i = 0, first = 0; i < count; i++) {
    chunk->pages[slots[i] % CHUNK_SLOTS / 64] &= ~((uint64_t)1 << slots[i] % 64);
    if (i + 1 < count && slots[i + 1] == slots[i] + 1) continue;
    uintptr_t start = chunk_slot_address(slots[first]);
    ranges[many++] = (struct os_range){start, chunk_slot_address(slots[i]) + os_page - start};
    first = i + 1;
    if (many < OS_RANGES_MOST && first < count) continue;
    chunk->is_protected ? protect(ranges, many) : install_guards(ranges, many, options);
    many = 0;
  }
  if (chunk->is_protected) split -= SPLIT * count;
}
