/* The ledger (see ledger.h): hash tables with linear probing (Knuth, The Art of Computer
 * Programming 6.4, algorithms L and R), several, so that threads seldom meet. */
#include "watch/ledger.h"

#include "os/memory.h"

#include <stddef.h>

enum { FIRST_LOG = 7 };

struct ledger_part ledger_parts[LEDGER_PARTS];

/* Fibonacci hashing (the same, 6.4): the first bits choose the part, those after them the place. */
static uint64_t hash(uintptr_t address) {
  return (uint64_t)address / 16 * 0x9e3779b97f4a7c15;
}

static struct ledger_part *part_of(const void *pointer) {
  return &ledger_parts[hash((uintptr_t)pointer) >> (64 - LEDGER_LOG)];
}

static size_t place_of(const struct ledger_part *part, uintptr_t address) {
  return (hash(address) << LEDGER_LOG) >> (64 - part->log);
}

static size_t next_of(const struct ledger_part *part, size_t place) {
  return (place + 1) & (((size_t)1 << part->log) - 1);
}

static size_t bytes_of(const struct ledger_part *part) {
  return page_up(sizeof(struct small_block) << part->log);
}

/* Where it is, or would come to be. */
static struct small_block *search(const struct ledger_part *part, uintptr_t address) {
  size_t place = place_of(part, address);
  while (part->blocks[place].address && part->blocks[place].address != address)
    place = next_of(part, place);
  return &part->blocks[place];
}

/* Half of it stays empty, so that a search ends soon. */
static bool make_room(struct ledger_part *part) {
  if (part->log && part->used < (size_t)1 << part->log >> 1) return true;
  struct ledger_part larger = {.log = part->log ? part->log + 1 : FIRST_LOG};
  larger.blocks = os_map(bytes_of(&larger));
  if (!larger.blocks) return false;
  for (size_t i = 0; part->log && i < (size_t)1 << part->log; i++)
    if (part->blocks[i].address) *search(&larger, part->blocks[i].address) = part->blocks[i];
  if (part->log) os_unmap(part->blocks, bytes_of(part));
  part->log = larger.log;
  part->blocks = larger.blocks;
  return true;
}

static _Atomic bool used;

bool ledger_used(void) {
  return used;
}

void ledger_enter(const struct small_block *block) {
  struct ledger_part *part = part_of((void *)block->address);
  lock_take_shared(&part->lock);
  used = true;
  if (make_room(part)) {
    struct small_block *entry = search(part, block->address);
    part->used += !entry->address;
    *entry = *block;
  }
  lock_drop_shared(&part->lock);
}

/* The entry, with its part's lock taken; NULL, without it, where there is none. */
static struct small_block *take(struct ledger_part *part, const void *pointer) {
  lock_take_shared(&part->lock);
  struct small_block *entry = part->log ? search(part, (uintptr_t)pointer) : NULL;
  if (entry && entry->address) return entry;
  lock_drop_shared(&part->lock);
  return NULL;
}

bool ledger_find(const void *pointer, struct small_block *block) {
  struct ledger_part *part = part_of(pointer);
  const struct small_block *entry = take(part, pointer);
  if (!entry) return false;
  *block = *entry;
  lock_drop_shared(&part->lock);
  return true;
}

bool ledger_hold(const void *pointer, uint8_t fill, struct small_block *before) {
  struct ledger_part *part = part_of(pointer);
  struct small_block *entry = take(part, pointer);
  if (!entry) return false;
  *before = *entry;
  if (!entry->held) entry->fill = fill;
  entry->held = true;
  lock_drop_shared(&part->lock);
  return true;
}

bool ledger_exchange_origin(const void *pointer, uint8_t origin, struct small_block *before) {
  struct ledger_part *part = part_of(pointer);
  struct small_block *entry = take(part, pointer);
  if (!entry) return false;
  *before = *entry;
  if (!entry->held) entry->origin = origin;
  lock_drop_shared(&part->lock);
  return !before->held;
}

/* What is behind it and would not be found across the gap moves up (algorithm R). */
static void close_gap(struct ledger_part *part, size_t gap) {
  size_t most = ((size_t)1 << part->log) - 1;
  for (size_t at = next_of(part, gap); part->blocks[at].address; at = next_of(part, at)) {
    size_t wanted = place_of(part, part->blocks[at].address);
    if (((at - wanted) & most) < ((at - gap) & most)) continue;
    part->blocks[gap] = part->blocks[at];
    gap = at;
  }
  part->blocks[gap].address = 0;
}

bool ledger_strike(const void *pointer, struct small_block *before) {
  struct ledger_part *part = part_of(pointer);
  struct small_block *entry = take(part, pointer);
  if (!entry) return false;
  *before = *entry;
  close_gap(part, (size_t)(entry - part->blocks));
  part->used--;
  lock_drop_shared(&part->lock);
  return true;
}

/* Blocks lie all over memory in this order: who waits for one at a time waits most of the time. */
static void expect(const struct small_block *block) {
  __builtin_prefetch((const char *)block->address - 1);
  __builtin_prefetch((const char *)block->address + block->size);
}

static bool search_part(const struct ledger_part *part, size_t *at, ledger_wanted *wanted,
                        void *context) {
  enum { AHEAD = 16 };
  for (size_t end = part->log ? (size_t)1 << part->log : 0; *at < end;) {
    if (*at + AHEAD < end) expect(&part->blocks[*at + AHEAD]);
    struct small_block *block = &part->blocks[(*at)++];
    if (block->address && wanted(context, block)) return true;
  }
  return false;
}

bool ledger_search(struct ledger_place *place, ledger_wanted *wanted, void *context) {
  for (; place->part < LEDGER_PARTS; place->part++, place->at = 0) {
    struct ledger_part *part = &ledger_parts[place->part];
    if (!lock_try(&part->lock)) continue;
    bool found = search_part(part, &place->at, wanted, context);
    lock_drop(&part->lock);
    if (found) return true;
  }
  return false;
}

bool ledger_look(const void *pointer, ledger_wanted *wanted, void *context) {
  struct ledger_part *part = part_of(pointer);
  if (!lock_try(&part->lock)) return false;
  struct small_block *entry = part->log ? search(part, (uintptr_t)pointer) : NULL;
  bool found = entry && entry->address && wanted(context, entry);
  lock_drop(&part->lock);
  return found;
}

bool ledger_lies_at(uintptr_t page) {
  for (int i = 0; i < LEDGER_PARTS; i++)
    if (ledger_parts[i].log &&
        page - (uintptr_t)ledger_parts[i].blocks < bytes_of(&ledger_parts[i]))
      return true;
  return false;
}

void ledger_lock(void) {
  for (int i = 0; i < LEDGER_PARTS; i++) lock_take(&ledger_parts[i].lock);
}

void ledger_unlock(void) {
  for (int i = 0; i < LEDGER_PARTS; i++) lock_drop(&ledger_parts[i].lock);
}
