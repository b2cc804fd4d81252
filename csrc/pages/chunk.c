/* Chunks (see chunk.h). */
#include "pages/chunk.h"

#include "os/features.h"
#include "os/guards.h"
#include "os/memory.h"
#include "os/process.h"
#include "pages/mover.h"
#include "pages/region.h"
#include "pages/run.h"

#include <errno.h>

struct chunk *chunk_table;
_Atomic uintptr_t chunk_base;
uintptr_t chunk_bytes;

static struct table chunks;
static _Atomic uint32_t next = 1; /* 0 is none */
static _Atomic uint32_t mapped;   /* chunks now, of which each may be a mapping */
static _Atomic uint32_t split;    /* mappings that they take more */

static size_t size_of_chunk(void) {
  return chunk_slot_bytes() << CHUNK_LOG;
}

static uintptr_t address_of(uint32_t number) {
  return chunk_slot_address(number << CHUNK_LOG);
}

bool chunk_init(const struct options *options) {
  enum { STEP = 1 << 9 };
  static struct lock once;
  if (chunk_base) return true;
  if (!region_init(options->reserve)) return false;
  size_t room, size = size_of_chunk();
  lock_take(&once);
  uintptr_t start = os_low_window(&room);
  size_t wanted = 2 * options->reserve, most = (room / 2 < wanted ? room / 2 : wanted) / size;
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

void chunk_forget(uint32_t number) {
  uint32_t gone = CHUNK_GONE;
  atomic_compare_exchange_strong(&chunk_table[number].state, &gone, CHUNK_FORGOTTEN);
}

/* The one after the last that was so found. */
static uint32_t forgotten_number(void) {
  static _Atomic uint32_t last;
  for (uint32_t tries = chunk_most(); tries; tries--) {
    uint32_t number = last++ % chunk_most(), forgotten = CHUNK_FORGOTTEN;
    struct chunk *chunk = &chunk_table[number];
    if (!table_has(&chunks, number) ||
        !atomic_compare_exchange_strong(&chunk->state, &forgotten, CHUNK_NONE))
      continue;
    chunk->dead = chunk->made = chunk->worn = 0;
    for (int i = 0; i < CHUNK_SLOTS / 64; i++) chunk->pages[i] = 0;
    return number;
  }
  return errno = ENOMEM, 0;
}

/* One that came to nothing. */
static void give_back(uint32_t number) {
  chunk_table[number].state = CHUNK_FORGOTTEN;
}

/* A number that nobody has had, and nothing mapped there; its record is zeros. With a gap nothing
 * will be before it either. */
static uint32_t new_number(bool gap) {
  uint32_t number = next < chunk_most() ? atomic_fetch_add(&next, 1u + gap) + gap : chunk_most();
  if (number >= chunk_most()) next = chunk_most();
  if (number >= chunk_most()) return gap ? 0 : forgotten_number();
  if (!table_reach(&chunks, number)) return errno = ENOMEM, 0;
  if (gap) chunk_table[number - 1].state = CHUNK_FORGOTTEN;
  return number;
}

static bool mappings_left(void) {
  enum { AT_ONCE = 3 };
  return mapped + split + AT_ONCE < vmas_allowed() / 4;
}

static void add_pieces(struct chunk *chunk, int pieces) {
  chunk->pieces = (uint16_t)(chunk->pieces + pieces);
  split += (uint32_t)pieces;
}

static void open_chunk(uint32_t number) {
  chunk_table[number].wanted = UINT32_MAX;
  chunk_table[number].state = CHUNK_OPEN;
  mapped++;
}

static enum chunk_guards choose_guards(const struct options *options) {
  static struct lock once;
  lock_take(&once);
  bool moves = mover_init(options);
  lock_drop(&once);
  if (moves) return GUARDS_MISSING;
  return os_uses(options, OS_GUARD_REGIONS) ? GUARDS_MARKED : GUARDS_PROTECTED;
}

/* With errno EEXIST where somebody's mapping is there. */
static bool map_guards(uint32_t number, enum chunk_guards guards) {
  uintptr_t address = address_of(number);
  size_t size = size_of_chunk();
  chunk_table[number].guards = (uint8_t)guards;
  if (guards == GUARDS_PROTECTED) return os_reserve_at(address, size);
  if (!os_map_at(address, size)) return false;
  if (guards == GUARDS_MISSING ? mover_watch(address, size) : os_guard_install(address, size))
    return true;
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
  enum chunk_guards guards = choose_guards(options);
  if (!room || (guards == GUARDS_PROTECTED && !mappings_left())) return errno = ENOMEM, 0;
  while ((number = new_number(false)))
    if (map_guards(number, guards))
      return open_chunk(number), number;
    else if (errno != EEXIST)
      break;
  return 0;
}

static bool is_mapped(uint32_t number) {
  uint32_t state = chunk_table[number].state;
  return state == CHUNK_OPEN || state == CHUNK_FULL;
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

/* A page between guards that are page protection makes two mappings more. */
enum { SPLIT = 2 };

static bool unprotect(struct chunk *chunk, uintptr_t page) {
  if (!mappings_left()) return errno = ENOMEM, false;
  bool done = os_protect(page, os_page, true);
  if (done) add_pieces(chunk, SPLIT);
  return done;
}

bool chunk_is_guarded(uint32_t number) {
  return chunk_table[number].guards != GUARDS_MISSING || mover_is_there();
}

/* As many as can be had, of which the first must. */
static unsigned make_missing(const struct os_range *ranges, unsigned count) {
  unsigned made = 0;
  while (made < count && mover_make(ranges[made].start)) made++;
  return made;
}

bool chunk_make(uint32_t number, unsigned count, const struct options *options) {
  struct chunk *chunk = &chunk_table[number];
  struct os_range ranges[OS_RANGES_MOST];
  uint32_t made = chunk->made;
  bool done = true;
  if (count > CHUNK_SLOTS - made) count = CHUNK_SLOTS - made;
  if (count > OS_RANGES_MOST) count = OS_RANGES_MOST;
  if (chunk->guards == GUARDS_PROTECTED) count = 1;
  for (unsigned i = 0; i < count; i++)
    ranges[i] = (struct os_range){chunk_slot_address((number << CHUNK_LOG) + made + i), os_page};
  if (chunk->guards == GUARDS_MISSING)
    done = (count = make_missing(ranges, count));
  else
    done = chunk->guards == GUARDS_PROTECTED ? unprotect(chunk, ranges->start)
                                             : remove_guards(ranges, count, options);
  if (!done) return false;
  set_pages(chunk, made, made + count);
  chunk->made = made + count;
  return true;
}

static unsigned count_pages(const struct chunk *chunk) {
  unsigned count = 0;
  for (int i = 0; i < CHUNK_SLOTS / 64; i++)
    for (uint64_t left = chunk->pages[i]; left; left &= left - 1) count++;
  return count;
}

/* Moving few pages costs more than making them. Pieces do not grow together again, and a call for
 * each of them, whenever they move, comes to cost more than one chunk of new pages. */
enum { PAGES_LEAST = 48, RUN_LEAST = 16, WORN_MOST = 40 };

static unsigned length_of_run(const uint32_t *slots, unsigned count) {
  unsigned length = 1;
  while (length < count && slots[length] == *slots + length) length++;
  return length;
}

static unsigned count_in_runs(const uint32_t *slots, unsigned count) {
  unsigned pages = 0;
  for (unsigned i = 0, length; i < count; i += length)
    if ((length = length_of_run(slots + i, count - i)) >= RUN_LEAST) pages += length;
  return pages;
}

/* With the guards behind them. */
static bool move_run(uint32_t number, uint32_t target, uint32_t first, unsigned length) {
  struct chunk *chunk = &chunk_table[number], *moved = &chunk_table[target];
  uint32_t place = first % CHUNK_SLOTS, to = target << CHUNK_LOG | place;
  bool done = mappings_left() && os_move_over(chunk_slot_address(first), chunk_slot_address(to),
                                              chunk_slot_bytes() * length);
  if (!done) return os_reserve_at(chunk_slot_address(to), chunk_slot_bytes() * length), false;
  for (uint32_t slot = place; slot < place + length; slot++)
    chunk->pages[slot / 64] &= ~((uint64_t)1 << slot % 64);
  set_pages(moved, place, place + length);
  if (moved->worn < WORN_MOST) moved->worn++;
  add_pieces(chunk, 1);
  add_pieces(moved, 2);
  return true;
}

/* Long runs, to the same places of a chunk that is OPEN and otherwise inaccessible; 0 for none. */
static uint32_t move_runs(uint32_t number, const uint32_t *slots, unsigned count) {
  const struct chunk *chunk = &chunk_table[number];
  if (chunk->guards != GUARDS_MARKED || chunk->worn == WORN_MOST || !mappings_left() ||
      count_in_runs(slots, count) < PAGES_LEAST)
    return 0;
  uint32_t target = new_number(false);
  if (!target) return 0;
  if (!os_reserve_at(address_of(target), size_of_chunk())) return give_back(target), 0;
  open_chunk(target);
  chunk_table[target].made = CHUNK_SLOTS;
  chunk_table[target].guards = GUARDS_MARKED;
  chunk_table[target].worn = chunk->worn;
  for (unsigned i = 0, length; i < count; i += length)
    if ((length = length_of_run(slots + i, count - i)) >= RUN_LEAST)
      move_run(number, target, slots[i], length);
  return target;
}

static uint32_t move_in_pieces(uint32_t number) {
  uint32_t slots[CHUNK_SLOTS];
  unsigned count = 0;
  for (uint32_t slot = number << CHUNK_LOG; slot < (number + 1) << CHUNK_LOG; slot++)
    if (chunk_has_page(slot)) slots[count++] = slot;
  uint32_t target = move_runs(number, slots, count);
  if (target) chunk_end(number);
  return target;
}

/* A chunk that was moved is a mapping of its own. One that is watched has a gap before it:
 * mremap(2) would merge it with a neighbour that came from beside it, and end the watch of both
 * (Linux 6.18).
 */
uint32_t chunk_move(uint32_t number) {
  struct chunk *chunk = &chunk_table[number];
  bool moves =
      chunk->guards == GUARDS_MARKED || (chunk->guards == GUARDS_MISSING && mover_is_there());
  if (!moves || count_pages(chunk) < PAGES_LEAST || !mappings_left()) return 0;
  if (chunk->pieces) return move_in_pieces(number);
  uint32_t target = new_number(chunk->guards == GUARDS_MISSING);
  if (!target) return 0;
  if (!os_move(address_of(number), address_of(target), size_of_chunk()))
    return give_back(target), 0;
  struct chunk *moved = &chunk_table[target];
  moved->made = CHUNK_SLOTS;
  moved->guards = chunk->guards;
  for (int i = 0; i < CHUNK_SLOTS / 64; i++) moved->pages[i] = chunk->pages[i];
  open_chunk(target);
  chunk->state = CHUNK_GONE;
  mapped--;
  bool watched =
      moved->guards != GUARDS_MISSING || mover_watch(address_of(target), size_of_chunk());
  return watched ? target : (chunk_end(target), 0);
}

void chunk_end(uint32_t number) {
  if (chunk_table[number].state == CHUNK_GONE) return; /* as chunk_move got half way */
  struct chunk *chunk = &chunk_table[number];
  os_drop(address_of(number), size_of_chunk());
  add_pieces(chunk, -chunk->pieces);
  chunk->state = CHUNK_GONE;
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

/* Where the mover is gone the memory is any other. */
static void shut(struct chunk *chunk, const struct os_range *ranges, unsigned count,
                 const struct options *options) {
  if (chunk->guards == GUARDS_PROTECTED) return protect(ranges, count);
  if (chunk->guards == GUARDS_MARKED || !mover_is_there())
    return install_guards(ranges, count, options);
  for (unsigned i = 0; i < count; i++) os_reset(ranges[i].start, ranges[i].size);
}

/* Its page becomes that of the next slot there. Not where a forked child has a part in it, or a
 * device: it is dropped then. */
static bool pass_on(uint32_t slot, uint32_t open) {
  struct chunk *target = &chunk_table[open];
  bool fits = chunk_of(slot)->guards == GUARDS_MISSING && open &&
              target->guards == GUARDS_MISSING && target->made < CHUNK_SLOTS;
  uint32_t next = (open << CHUNK_LOG) + target->made;
  if (!fits || !mover_move(chunk_slot_address(slot), chunk_slot_address(next))) return false;
  set_pages(target, target->made, target->made + 1);
  target->made++;
  return true;
}

/* Neighbours by one range, which covers the guards between. */
uint32_t chunk_shut(const uint32_t *slots, unsigned count, uint32_t open, bool more,
                    const struct options *options) {
  struct chunk *chunk = chunk_of(*slots);
  uint32_t moved = more ? move_runs(*slots >> CHUNK_LOG, slots, count) : 0;
  struct os_range ranges[OS_RANGES_MOST];
  unsigned many = 0;
  for (unsigned i = 0; i < count; i++) {
    uintptr_t start = chunk_slot_address(slots[i]);
    struct os_range *last = many ? &ranges[many - 1] : NULL;
    if (!chunk_has_page(slots[i])) continue;
    if (chunk->guards == GUARDS_PROTECTED) add_pieces(chunk, -SPLIT);
    chunk->pages[slots[i] % CHUNK_SLOTS / 64] &= ~((uint64_t)1 << slots[i] % 64);
    if (pass_on(slots[i], open)) continue;
    if (last && last->start + last->size + os_page == start) {
      last->size += chunk_slot_bytes();
      continue;
    }
    if (many == OS_RANGES_MOST) shut(chunk, ranges, many, options), many = 0;
    ranges[many++] = (struct os_range){start, os_page};
  }
  if (many) shut(chunk, ranges, many, options);
  return moved;
}

void chunk_restart(void) {
  uint32_t count = chunk_base ? chunk_count() : 0;
  if (!mover_restart()) return;
  for (uint32_t number = 1; number < count; number++)
    if (is_mapped(number) && chunk_table[number].guards == GUARDS_MISSING)
      mover_watch(address_of(number), size_of_chunk());
}
