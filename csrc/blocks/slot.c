/* Small blocks in slots (see slot.h). Locks are taken in this order: a feed's, a chunk's. */
#include "blocks/slot.h"

#include "base/option.h"
#include "os/memory.h"
#include "os/process.h"
#include "pages/fill.h"
#include "pages/region.h"

#include <errno.h>
#include <string.h>

enum { FEEDS = 8, SPARES = 64, LINE = 1 << 14, BATCH = 64 };

struct slot *slot_table;
struct table slot_records;

static struct feed {
  struct lock lock;
  uint32_t chunk, next, handed; /* that hands out; the slot that may be next in it; how many were */
  uint32_t spares[SPARES];      /* chunks with pages, OPEN */
  unsigned spare;
  int64_t live;          /* blocks taken from it, less those given back to it */
  uint32_t line[LINE];   /* of freed blocks, in the order they were freed */
  uint32_t first, last;  /* in it; they run on */
  uint32_t mark, marked; /* where its end was, and when */
  uint32_t closed;       /* a chunk that died before it was; it may be taken down yet */
  bool found;            /* what is to be told of yet */
  struct slot_written written;
} __attribute__((aligned(64))) feeds[FEEDS];

bool slot_init(const struct options *options) {
  enum { STEP = 1 << 13 };
  static struct lock once;
  if (os_page > UINT16_MAX / 2 || !chunk_init(options)) return false; /* records have 16 bits */
  lock_take(&once);
  size_t most = chunk_bytes / chunk_slot_bytes();
  if (!slot_table &&
      region_place_table(TABLE_SLOTS, &slot_records, sizeof(struct slot), most, STEP))
    slot_table = (struct slot *)slot_records.start;
  lock_drop(&once);
  return slot_table;
}

/* Ends */

/* What is known of the blocks of a chunk that is gone is known for a while. A sample of blocks is
 * to cost little memory: fewer are known, and fewer wait (delay_of). */
static void remember(uint32_t number, const struct options *options) {
  enum { REMEMBERED = 512, OF_A_SAMPLE = 32 };
  static _Atomic uint32_t gone[REMEMBERED], count;
  uint32_t most = options_sample(options) ? OF_A_SAMPLE : REMEMBERED, share = chunk_most() / 8 + 1;
  uint32_t place = count++ % (most < share ? most : share);
  uint32_t oldest = atomic_exchange(&gone[place], number);
  uintptr_t start = (uintptr_t)&slot_table[oldest << CHUNK_LOG];
  size_t size = sizeof(struct slot) << CHUNK_LOG;
  if (!oldest) return;
  os_reset(page_up(start), page_down(start + size) - page_up(start));
  chunk_forget(oldest);
}

/* At a dead block, with its chunk's lock. */
static bool look(uint32_t slot, struct slot_written *written) {
  struct slot *block = &slot_table[slot];
  uintptr_t start = slot_block(slot);
  struct difference *part = &written->part;
  if (!chunk_has_page(slot) || block->state != SLOT_DEAD || !block->fill) return false;
  if (!compare_pattern(pattern_of(block->fill), start, start + block->size, part)) return false;
  size_t size = part->end - part->from;
  memcpy(written->bytes, (void *)part->from, size < 16 ? size : 16);
  written->slot = slot;
  block->fill = 0;
  return true;
}

static bool look_at_all(uint32_t number, struct slot_written *written) {
  enum { AHEAD = 8 }; /* most of them are out of the caches by now */
  uint32_t slot = number << CHUNK_LOG, end = slot + chunk_table[number].made;
  if (!table_has(&slot_records, end - 1)) return false; /* nor was any handed out */
  for (; slot < end; slot++) {
    if (slot + AHEAD < end) __builtin_prefetch((void *)slot_block(slot + AHEAD));
    if (look(slot, written)) return true;
  }
  return false;
}

/* All blocks that it had are dead. One of the threads that find this takes it down, but where one
 * was written to. */
static bool take_down(struct feed *feed, uint32_t number, const struct options *options,
                      struct slot_written *written) {
  struct chunk *chunk = &chunk_table[number];
  lock_take_shared(&chunk->lock);
  bool full = chunk->state == CHUNK_FULL, found = full && look_at_all(number, written);
  uint32_t moved = full && !found && feed->spare < SPARES ? chunk_move(number) : 0;
  if (full && !found && !moved) chunk_end(number);
  lock_drop_shared(&chunk->lock);
  if (moved) feed->spares[feed->spare++] = moved;
  if (full && !found) remember(number, options);
  return found;
}

/* With its chunk's lock: it has its page yet, and no other block has come there. */
static bool waits(uint32_t slot) {
  enum chunk_state state = chunk_of(slot)->state;
  return (state == CHUNK_OPEN || state == CHUNK_FULL) && slot_table[slot].state == SLOT_DEAD &&
         chunk_has_page(slot);
}

/* Of the line up to there those of one chunk, by their places in it. */
static void mark_of_chunk(const struct feed *feed, uint32_t end, uint32_t number,
                          uint64_t marks[CHUNK_SLOTS / 64]) {
  for (uint32_t at = feed->first; at != end; at++) {
    uint32_t slot = feed->line[at % LINE];
    if (slot >> CHUNK_LOG == number) marks[slot % CHUNK_SLOTS / 64] |= (uint64_t)1 << slot % 64;
  }
}

/* Makes those inaccessible, but where one was written to; their pages may be the feed's next ones.
 * With the chunk's lock. */
static bool shut_marked(struct feed *feed, uint32_t number, const uint64_t marks[CHUNK_SLOTS / 64],
                        const struct options *options, struct slot_written *written) {
  uint32_t dead[CHUNK_SLOTS];
  unsigned count = 0;
  for (unsigned i = 0; i < CHUNK_SLOTS / 64; i++)
    for (uint64_t left = marks[i]; left; left &= left - 1) {
      uint32_t slot = number << CHUNK_LOG | i * 64 | (unsigned)__builtin_ctzll(left);
      if (!waits(slot)) continue;
      if (look(slot, written)) return true;
      dead[count++] = slot;
    }
  bool more = feed->spare < SPARES;
  uint32_t moved = count ? chunk_shut(dead, count, feed->chunk, more, options) : 0;
  if (moved) feed->spares[feed->spare++] = moved;
  return false;
}

/* What has waited longest, and with it those of its chunk up to there in the line: neighbours are
 * shut at once. All stay where one was written to. */
static bool shut_oldest(struct feed *feed, uint32_t end, const struct options *options,
                        struct slot_written *written) {
  uint32_t oldest = feed->line[feed->first % LINE];
  bool found = false;
  if (waits(oldest)) { /* or else its chunk left, or it has left with others of it */
    uint64_t marks[CHUNK_SLOTS / 64] = {0};
    mark_of_chunk(feed, end, oldest >> CHUNK_LOG, marks);
    lock_take_shared(&chunk_of(oldest)->lock);
    found = shut_marked(feed, oldest >> CHUNK_LOG, marks, options, written);
    lock_drop_shared(&chunk_of(oldest)->lock);
  }
  if (!found) feed->first++;
  return found;
}

/* Up to there in the line, or to one that was written to. */
static bool shut_up_to(struct feed *feed, uint32_t end, const struct options *options,
                       struct slot_written *written) {
  while ((int32_t)(end - feed->first) > 0)
    if (shut_oldest(feed, end, options, written)) return true;
  return false;
}

/* Many at a time, as their records are out of the caches. Those that have waited at least half as
 * long as the oldest leave with it; others may yet leave with all of their chunk. */
static bool shorten(struct feed *feed, uint32_t delay, const struct options *options,
                    struct slot_written *written) {
  uint32_t batch = delay < BATCH ? delay + 1 : BATCH, length = feed->last - feed->first;
  if (length < delay + batch) return false;
  for (; length > delay; length = feed->last - feed->first)
    if (shut_oldest(feed, feed->first + (length + 1) / 2, options, written)) return true;
  return false;
}

/* How many frees a block waits: the more blocks live, the longer its chunk takes to die. */
static uint32_t delay_of(const struct feed *feed, const struct options *options) {
  enum { LEAST = 256, TIMES = 3, OF_A_SAMPLE = 16 };
  uint32_t most = (uint32_t)options->delay;
  if (options_sample(options)) return most < OF_A_SAMPLE ? most : OF_A_SAMPLE;
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

static bool is_dead(uint32_t number) {
  return chunk_table[number].dead == chunk_table[number].wanted;
}

/* A chunk that may be dead, what waits to be told of, and the line as it is too long. */
static bool tidy(struct feed *feed, uint32_t number, const struct options *options,
                 struct slot_written *written) {
  uint32_t closed = feed->closed;
  if (is_dead(number) && take_down(feed, number, options, written)) return true;
  if (closed && take_down(feed, closed, options, written)) return true;
  feed->closed = 0;
  if (feed->found) return feed->found = false, *written = feed->written, true;
  return shorten(feed, delay_of(feed, options), options, written);
}

bool slot_give(unsigned number, uint32_t slot, const struct options *options,
               struct slot_written *written) {
  struct feed *feed = &feeds[number % FEEDS];
  struct pattern pattern = options_pattern(options), complement = {~pattern.word, pattern.size};
  fill_pattern(complement, (void *)slot_block(slot), slot_table[slot].size);
  slot_table[slot].fill = options->slack_check ? pattern_number(complement) : 0;
  lock_take_shared(&feed->lock);
  feed->live--;
  feed->line[feed->last++ % LINE] = slot;
  ++chunk_of(slot)->dead; /* before it is asked how many there are to be */
  bool found = tidy(feed, slot >> CHUNK_LOG, options, written);
  lock_drop_shared(&feed->lock);
  return found;
}

bool slot_go_on(unsigned number, const struct options *options, struct slot_written *written) {
  struct feed *feed = &feeds[number % FEEDS];
  lock_take_shared(&feed->lock);
  bool found = tidy(feed, written->slot >> CHUNK_LOG, options, written);
  lock_drop_shared(&feed->lock);
  return found;
}

static bool find_in_line(struct feed *feed, struct slot_written *written) {
  bool found = feed->found;
  if (found) *written = feed->written;
  feed->found = false;
  for (uint32_t at = feed->first; at != feed->last && !found; at++) {
    uint32_t slot = feed->line[at % LINE];
    if (!lock_try(&chunk_of(slot)->lock)) continue;
    found = waits(slot) && look(slot, written);
    lock_drop(&chunk_of(slot)->lock);
  }
  return found;
}

/* A fault may have come from within, and locks are not waited for. */
bool slot_find_written(struct slot_written *written) {
  bool found = false;
  for (int i = 0; slot_table && i < FEEDS && !found; i++) {
    if (!lock_try(&feeds[i].lock)) continue; /* a thread that goes on while the process ends */
    found = find_in_line(&feeds[i], written);
    lock_drop(&feeds[i].lock);
  }
  return found;
}

static bool is_live_there(uint32_t slot) {
  return chunk_has_page(slot) && slot_known(slot) && slot_table[slot].state == SLOT_LIVE;
}

uint32_t slot_enter_next(uint32_t slot) {
  uint32_t end = slot_table ? chunk_count() << CHUNK_LOG : 0;
  if (slot < CHUNK_SLOTS) slot = CHUNK_SLOTS - 1; /* number 0 is no chunk */
  while (++slot < end) {
    struct chunk *chunk = chunk_of(slot);
    bool any = chunk->state == CHUNK_OPEN || chunk->state == CHUNK_FULL;
    if (!any) slot |= CHUNK_SLOTS - 1;
    if (!any || !is_live_there(slot) || !lock_try(&chunk->lock)) continue;
    if (is_live_there(slot)) return slot;
    lock_drop_shared(&chunk->lock);
  }
  return 0;
}

void slot_leave(uint32_t slot) {
  lock_drop(&chunk_of(slot)->lock);
}

/* What is found meanwhile is told of at the next free. */
static void tick(struct feed *feed, const struct options *options) {
  uint32_t now = os_milliseconds();
  int64_t interval = options->release_interval;
  if (interval < 0 || now - feed->marked < interval || feed->found) return;
  feed->found = shut_up_to(feed, feed->mark, options, &feed->written);
  feed->mark = feed->last;
  feed->marked = now;
}

void slot_tick(const struct options *options) {
  for (int i = 0; slot_table && i < FEEDS; i++) {
    if (feeds[i].first == feeds[i].last || !lock_try(&feeds[i].lock)) continue;
    tick(&feeds[i], options);
    lock_drop(&feeds[i].lock);
  }
}

/* Beginnings */

static void close_chunk(struct feed *feed, const struct options *options) {
  uint32_t number = feed->chunk;
  struct chunk *chunk = &chunk_table[number];
  feed->chunk = 0;
  chunk->wanted = feed->handed;
  chunk->state = CHUNK_FULL;
  if (chunk->dead != feed->handed) return;
  if (feed->found || (feed->found = take_down(feed, number, options, &feed->written)))
    feed->closed = number;
}

/* One that there is no room for records of is closed again, and so taken down. */
static bool open_chunk(struct feed *feed, const struct options *options) {
  tick(feed, options);
  while (feed->spare && !chunk_is_guarded(feed->spares[feed->spare - 1]))
    chunk_end(feed->spares[--feed->spare]);
  feed->chunk = feed->spare ? feed->spares[--feed->spare] : chunk_new(options);
  feed->next = feed->handed = 0;
  if (!feed->chunk) return false;
  if (table_reach(&slot_records, (feed->chunk + 1) << CHUNK_LOG)) return true;
  close_chunk(feed, options);
  return false;
}

/* The next slot with a page of the feed's chunk; CHUNK_SLOTS for none. */
static uint32_t next_in_chunk(struct feed *feed, const struct options *options) {
  enum { AT_ONCE = 16 };
  uint32_t first = feed->chunk << CHUNK_LOG;
  for (uint32_t slot = feed->next; slot < CHUNK_SLOTS; slot++) {
    if (slot == chunk_of(first)->made && !chunk_make(feed->chunk, AT_ONCE, options)) break;
    if (chunk_has_page(first + slot)) return slot;
  }
  return CHUNK_SLOTS;
}

/* It may go on when others have given up theirs. */
static bool is_short_of_mappings(uint32_t number) {
  return chunk_table[number].guards == GUARDS_PROTECTED && chunk_table[number].made < CHUNK_SLOTS;
}

/* What will be written to soon, of pages that have been out of the caches for long. */
static void prefetch(uint32_t slot) {
  enum { LINE_BYTES = 64 };
  __builtin_prefetch((void *)(slot_end(slot) - LINE_BYTES), 1);
  __builtin_prefetch((void *)(slot_end(slot) - 2 * LINE_BYTES), 1);
}

/* 0 for none. */
static uint32_t next_slot(struct feed *feed, const struct options *options) {
  for (int tries = 0; tries < 2; tries++) {
    bool open = feed->chunk && chunk_is_guarded(feed->chunk);
    uint32_t place = open ? next_in_chunk(feed, options) : CHUNK_SLOTS;
    uint32_t slot = feed->chunk << CHUNK_LOG | place;
    if (place < CHUNK_SLOTS) {
      prefetch(slot + 1);
      feed->next = place + 1;
      feed->handed++;
      feed->live++;
      return slot;
    }
    if (feed->chunk && is_short_of_mappings(feed->chunk)) break;
    if (feed->chunk) close_chunk(feed, options);
    if (!open_chunk(feed, options)) break;
  }
  return errno = ENOMEM, 0;
}

uint32_t slot_take(unsigned number, size_t size, size_t alignment, bool left,
                   const struct options *options) {
  struct feed *feed = &feeds[number % FEEDS];
  lock_take_shared(&feed->lock);
  uint32_t slot = next_slot(feed, options);
  if (!slot && !feed->found) {
    feed->found = shut_up_to(feed, feed->last, options, &feed->written);
    slot = next_slot(feed, options);
  }
  lock_drop_shared(&feed->lock);
  if (!slot) return 0;
  size_t start = left ? 0 : (os_page - size) & ~(alignment - 1);
  slot_table[slot].size = (uint16_t)size;
  slot_table[slot].origin = 0;
  slot_table[slot].start = (uint16_t)start;
  return slot;
}

void slot_publish(uint32_t slot) {
  atomic_store_explicit(&slot_table[slot].state, SLOT_LIVE, memory_order_release);
}

bool slot_known(uint32_t slot) {
  return slot_table && table_has(&slot_records, slot);
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
