/* Small blocks in slots (see slot.h). Locks are taken in this order: a feed's, a chunk's. */
#include "blocks/slot.h"

#include "base/option.h"
#include "os/memory.h"
#include "pages/region.h"

#include <errno.h>

enum { FEEDS = 8, SPARES = 64, LINE = 1 << 14, BATCH = 64 };

struct slot *slot_table;
static struct table slots;

static struct feed {
  struct lock lock;
  uint32_t chunk, next, handed; /* that hands out; the slot that may be next in it; how many were */
  uint32_t spares[SPARES];      /* chunks with pages, OPEN */
  unsigned spare;
  int64_t live;         /* blocks taken from it, less those given back to it */
  uint32_t line[LINE];  /* of freed blocks, in the order they were freed */
  uint32_t first, last; /* in it; they run on */
} __attribute__((aligned(64))) feeds[FEEDS];

bool slot_init(const struct options *options) {
  enum { STEP = 1 << 13 };
  static struct lock once;
  if (!chunk_init(options)) return false;
  lock_take(&once);
  size_t most = chunk_bytes / chunk_slot_bytes();
  if (!slot_table && region_place_table(TABLE_SLOTS, &slots, sizeof(struct slot), most, STEP))
    slot_table = (struct slot *)slots.start;
  lock_drop(&once);
  return slot_table;
}

/* Ends */

/* What is known of the blocks of a chunk that is gone is known for a while. */
static void remember(uint32_t number) {
  enum { REMEMBERED = 512 };
  static _Atomic uint32_t gone[REMEMBERED], count;
  uint32_t oldest = atomic_exchange(&gone[count++ % REMEMBERED], number);
  uintptr_t start = (uintptr_t)&slot_table[oldest << CHUNK_LOG];
  size_t size = sizeof(struct slot) << CHUNK_LOG;
  if (oldest) os_reset(page_up(start), page_down(start + size) - page_up(start));
}

/* All blocks that it had are dead. One of the threads that find this takes it down. */
static void take_down(struct feed *feed, uint32_t number) {
  struct chunk *chunk = &chunk_table[number];
  uint32_t full = CHUNK_FULL;
  if (!atomic_compare_exchange_strong(&chunk->state, &full, CHUNK_GONE)) return;
  lock_take(&chunk->lock);
  uint32_t moved = feed->spare < SPARES ? chunk_move(number) : 0;
  if (!moved) chunk_end(number);
  lock_drop(&chunk->lock);
  if (moved) feed->spares[feed->spare++] = moved;
  remember(number);
}

/* By insertion: they are nearly in order, and qsort(3) calls malloc. */
static void sort(uint32_t *numbers, unsigned count) {
  for (unsigned i = 1; i < count; i++) {
    uint32_t number = numbers[i];
    unsigned at = i;
    for (; at && numbers[at - 1] > number; at--) numbers[at] = numbers[at - 1];
    numbers[at] = number;
  }
}

/* Those that are dead in one chunk. */
static void shut(const uint32_t *dead, unsigned count, const struct options *options) {
  struct chunk *chunk = chunk_of(*dead);
  lock_take(&chunk->lock);
  if (chunk->state != CHUNK_GONE) chunk_shut(dead, count, options);
  lock_drop(&chunk->lock);
}

/* Some of those that have waited longest. */
static void shut_oldest(struct feed *feed, const struct options *options) {
  uint32_t dead[BATCH];
  unsigned count = 0;
  for (int i = 0; i < BATCH && feed->first != feed->last; i++) {
    uint32_t slot = feed->line[feed->first++ % LINE];
    if (chunk_of(slot)->state != CHUNK_GONE) dead[count++] = slot;
  }
  sort(dead, count);
  for (unsigned first = 0, i = 0; i < count; i++)
    if (i + 1 == count || chunk_of(dead[i + 1]) != chunk_of(dead[i])) {
      shut(dead + first, i + 1 - first, options);
      first = i + 1;
    }
}

/* How many frees a block waits: the more blocks live, the longer its chunk takes to die. */
static uint32_t delay_of(const struct feed *feed, uint32_t most) {
  enum { LEAST = 256, TIMES = 3 };
  int64_t delay = feed->live * TIMES;
  if (delay < LEAST) delay = LEAST;
  return delay > most ? most : (uint32_t)delay;
}

bool slot_is_live(uint32_t slot, const void *pointer) {
  return slot_known(slot) && slot_table[slot].state == SLOT_LIVE &&
         slot_block(slot) == (uintptr_t)pointer;
}

bool slot_claim(uint32_t slot, const void *pointer) {
  uint8_t live = SLOT_LIVE;
  return slot_is_live(slot, pointer) &&
         atomic_compare_exchange_strong(&slot_table[slot].state, &live, SLOT_DEAD);
}

void slot_give(unsigned number, uint32_t slot, const struct options *options) {
  struct feed *feed = &feeds[number % FEEDS];
  struct chunk *chunk = chunk_of(slot);
  lock_take(&feed->lock);
  feed->live--;
  feed->line[feed->last++ % LINE] = slot;
  uint32_t dead = ++chunk->dead; /* before it is asked how many there are to be */
  if (dead == chunk->wanted) take_down(feed, slot >> CHUNK_LOG);
  uint32_t most = (uint32_t)options->delay, waiting = feed->last - feed->first;
  if (waiting >= delay_of(feed, most) + (most ? BATCH : 0)) shut_oldest(feed, options);
  lock_drop(&feed->lock);
}

/* Beginnings */

static void close_chunk(struct feed *feed) {
  uint32_t number = feed->chunk;
  struct chunk *chunk = &chunk_table[number];
  feed->chunk = 0;
  chunk->state = CHUNK_FULL;
  chunk->wanted = feed->handed;
  if (chunk->dead == feed->handed) take_down(feed, number);
}

/* One that there is no room for records of is closed again, and so taken down. */
static bool open_chunk(struct feed *feed) {
  feed->chunk = feed->spare ? feed->spares[--feed->spare] : chunk_new();
  feed->next = feed->handed = 0;
  if (!feed->chunk) return false;
  if (table_reach(&slots, (feed->chunk + 1) << CHUNK_LOG)) return true;
  close_chunk(feed);
  return false;
}

/* The next slot with a page of the feed's chunk; CHUNK_SLOTS for none. */
static uint32_t next_in_chunk(struct feed *feed, const struct options *options) {
  enum { AT_ONCE = 16 };
  struct chunk *chunk = &chunk_table[feed->chunk];
  for (uint32_t slot = feed->next; slot < CHUNK_SLOTS; slot++) {
    if (slot == chunk->made && !chunk_make(feed->chunk, AT_ONCE, options)) break;
    if (chunk->pages[slot / 64] >> slot % 64 & 1) return slot;
  }
  return CHUNK_SLOTS;
}

/* 0 for none. */
static uint32_t next_slot(struct feed *feed, const struct options *options) {
  for (int tries = 0; tries < 2; tries++) {
    uint32_t slot = feed->chunk ? next_in_chunk(feed, options) : CHUNK_SLOTS;
    if (slot < CHUNK_SLOTS) {
      feed->next = slot + 1;
      feed->handed++;
      feed->live++;
      return feed->chunk << CHUNK_LOG | slot;
    }
    if (feed->chunk) close_chunk(feed);
    if (!open_chunk(feed)) break;
  }
  return errno = ENOMEM, 0;
}

uint32_t slot_take(unsigned number, size_t size, size_t alignment, bool left,
                   const struct options *options) {
  struct feed *feed = &feeds[number % FEEDS];
  lock_take(&feed->lock);
  uint32_t slot = next_slot(feed, options);
  lock_drop(&feed->lock);
  if (!slot) return 0;
  size_t start = left ? 0 : (os_page - size) & ~(alignment - 1);
  slot_table[slot].size = (uint16_t)size;
  slot_table[slot].start = (uint16_t)start;
  atomic_store_explicit(&slot_table[slot].state, SLOT_LIVE, memory_order_release);
  return slot;
}

bool slot_known(uint32_t slot) {
  return slot_table && table_has(&slots, slot);
}

size_t slot_release(void) {
  size_t bytes = 0;
  for (int i = 0; slot_table && i < FEEDS; i++) {
    lock_take(&feeds[i].lock);
    while (feeds[i].spare) {
      chunk_end(feeds[i].spares[--feeds[i].spare]);
      bytes += chunk_slot_bytes() << CHUNK_LOG;
    }
    lock_drop(&feeds[i].lock);
  }
  return bytes;
}

void slot_lock(void) {
  for (int i = 0; i < FEEDS; i++) lock_take(&feeds[i].lock);
}

void slot_unlock(void) {
  for (int i = 0; i < FEEDS; i++) lock_drop(&feeds[i].lock);
}
