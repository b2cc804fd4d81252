/* The residue (see residue.h). */
#include "watch/residue.h"

#include "os/destination.h"
#include "os/memory.h"
#include "pages/region.h"
#include "watch/code.h"
#include "watch/recover.h"

#include <stdatomic.h>
#include <string.h>

/* The file */

enum { RANGES = 32, FILE_MOST = 1 << 28, LEAST = 1 << 20 };

struct record {
  uint64_t stack, number, size;
  _Atomic uint32_t ranges; /* how many follow; 0: not written yet */
  uint32_t repeats;
};

struct header {
  char magic[8];
  uint64_t capacity;     /* bytes of it all */
  _Atomic uint64_t used; /* bytes of records; more than there is room for, if some were left out */
};
static struct header *file;

static bool map_file(int descriptor, void *mapped) {
  size_t size = region_afford(FILE_MOST, LEAST);
  struct header *made = os_map_shared(descriptor, size, NULL, 0);
  if (!made) return false;
  *made = (struct header){"patres1\n", size, 0};
  *(struct header **)mapped = made;
  return true;
}

static void record(const struct known_block *block, const struct range *ranges, size_t count) {
  size_t size = sizeof(struct record) + count * sizeof *ranges;
  size_t at = sizeof *file + atomic_fetch_add(&file->used, size);
  if (at + size > file->capacity) return;
  struct record *made = (struct record *)((char *)file + at);
  made->stack = block->stack;
  made->number = block->number;
  made->size = block->size;
  made->repeats = block->repeats;
  memcpy(made + 1, ranges, count * sizeof *ranges);
  atomic_store_explicit(&made->ranges, (uint32_t)count, memory_order_release);
}

/* Known blocks: a hash table with linear probing, of which the places for the blocks of a page are
 * side by side. */

enum { PLACES_MOST = 1 << 22, PROBES = 64, BLOCKS_A_PAGE_LOG = 8 };
enum { EMPTY, GONE, CHANGING }; /* instead of an address */

struct place {
  _Atomic uintptr_t address;
  uint64_t size, stack, number, key; /* the size's highest bit: whether the code repeats */
};
static const uint64_t repeating = (uint64_t)1 << 63;
static struct place *places;
static size_t places_count; /* a power of 2 */
static _Atomic bool used;
static _Atomic bool *touched; /* of places side by side: any; behind them */

static bool make_places(void) {
  size_t size = region_afford(PLACES_MOST * sizeof *places, LEAST);
  for (places_count = PLACES_MOST; places_count * sizeof *places > size;) places_count /= 2;
  places = os_map(page_up(places_count * sizeof *places + (places_count >> BLOCKS_A_PAGE_LOG)));
  touched = (_Atomic bool *)(places + places_count);
  return places;
}

static struct place *place_at(uintptr_t address, size_t probe) {
  uint64_t page = (uint64_t)(address >> 12) * 0x9e3779b97f4a7c15;
  size_t inside = address / 16 & ((1 << BLOCKS_A_PAGE_LOG) - 1);
  size_t first = ((size_t)(page >> 32) << BLOCKS_A_PAGE_LOG) + inside;
  return &places[(first + probe) & (places_count - 1)];
}

static bool change(struct place *place, uintptr_t from, uintptr_t to) {
  return atomic_compare_exchange_strong(&place->address, &from, to);
}

bool residue_start(const char *destination) {
  struct os_identity identity;
  destination_identify(destination, &identity);
  return make_places() && destination_visit(destination, &identity, OPEN_SHARED, map_file, &file);
}

/* Looking. The program may have unmapped it. */

struct look {
  const struct known_block *block;
  struct range ranges[RANGES];
  size_t count;
};

static void read_block(void *looked) {
  struct look *look = looked;
  const struct known_block *block = look->block;
  look->count = code_left(block->key, block->repeats, (const void *)block->address, block->size,
                          look->ranges, RANGES);
}

static void look_at(const struct known_block *block) {
  struct look look = {.block = block, .count = 0};
  if (recover_try(read_block, &look) && look.count) record(block, look.ranges, look.count);
}

/* Of two threads one gets it. */
static bool take_out(struct place *place, uintptr_t address, struct known_block *block) {
  if (!change(place, address, CHANGING)) return false;
  *block = (struct known_block){.address = address,
                                .size = place->size & ~repeating,
                                .stack = place->stack,
                                .number = place->number,
                                .key = place->key,
                                .repeats = place->size & repeating};
  place->address = GONE;
  return true;
}

void residue_look(const void *pointer) {
  uintptr_t address = (uintptr_t)pointer;
  struct known_block block;
  if (!used || !address) return;
  for (size_t probe = 0; probe < PROBES; probe++) {
    struct place *place = place_at(address, probe);
    if (place->address == EMPTY) return;
    if (place->address == address && take_out(place, address, &block)) return look_at(&block);
  }
}

void residue_know(const struct known_block *block) {
  if (!places) return;
  residue_look((const void *)block->address);
  used = true;
  for (size_t probe = 0; probe < PROBES; probe++) {
    struct place *place = place_at(block->address, probe);
    uintptr_t now = place->address;
    if ((now != EMPTY && now != GONE) || !change(place, now, CHANGING)) continue;
    place->size = block->size | (block->repeats ? repeating : 0);
    place->stack = block->stack;
    place->number = block->number;
    place->key = block->key;
    place->address = block->address;
    touched[(place - places) >> BLOCKS_A_PAGE_LOG] = true;
    return;
  }
}

void residue_look_at_all(void) {
  struct known_block block;
  for (size_t i = 0; used && i < places_count; i++) {
    if (!touched[i >> BLOCKS_A_PAGE_LOG]) {
      i |= ((size_t)1 << BLOCKS_A_PAGE_LOG) - 1;
      continue;
    }
    uintptr_t address = places[i].address;
    if (address > CHANGING && take_out(&places[i], address, &block)) look_at(&block);
  }
}
