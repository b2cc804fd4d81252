/* Adopted records (see adopted.h). */
#include "watch/adopted.h"

#include "blocks/block.h"
#include "os/memory.h"
#include "os/pagemap.h"
#include "watch/event_json.h"
#include "watch/history.h"

#include <errno.h>

/* Tables */

static struct record whole_pages(const void *start, uint64_t size) {
  return (struct record){start, page_up(size)};
}

static bool is_sound(const struct table *table, size_t record) {
  return !table->start || (table->record == record && table->usable <= table->most);
}

static int give_table(struct record *found, const struct table *table, size_t record) {
  if (!is_sound(table, record)) return errno = EINVAL, -1;
  *found = whole_pages(table->start, (uint64_t)table->usable * record);
  return 1;
}

static int give_part(struct record *found, struct ledger_part *part) {
  enum { LOG_MOST = 32 };
  part->lock = (struct lock){0}; /* a thread may have had it */
  if (part->log > LOG_MOST) return errno = EINVAL, -1;
  uint64_t blocks = part->log ? (uint64_t)1 << part->log : 0;
  *found = whole_pages(part->blocks, blocks * sizeof(struct small_block));
  return 1;
}

int adopted_table(unsigned number, struct record *found) {
  enum { GRANULES, SLOTS, HISTORY, STACKS_HEAD, STACKS_REST, PARTS };
  bool agree =
      (char *)region.table == region_records.start && (char *)slot_table == slot_records.start;
  if (!agree) return errno = EINVAL, -1;
  switch (number) {
  case GRANULES:
    return give_table(found, &region_records, sizeof(struct granule));
  case SLOTS:
    return give_table(found, &slot_records, sizeof(struct slot));
  case HISTORY:
    return give_table(found, &history_records, sizeof(struct history));
  case STACKS_HEAD:
  case STACKS_REST:
    return stack_extent(number == STACKS_REST, &found->at, &found->size), 1;
  default:
    number -= PARTS;
    return number < LEDGER_PARTS ? give_part(found, &ledger_parts[number]) : 0;
  }
}

bool adopted_map(const struct record *table) {
  return os_map_at((uintptr_t)table->at, table->size);
}

/* Addresses */

struct search {
  uintptr_t address;
  uint64_t distance; /* of the block that was found */
  struct small_block block;
};

/* Bytes from a block that the address is not in. */
static uint64_t distance_from(const struct small_block *block, uintptr_t address) {
  uintptr_t end = block->address + block->size;
  return address < block->address ? block->address - address
         : address < end          ? 0
                                  : address - end + 1;
}

static bool compare(void *context, struct small_block *block) {
  struct search *search = context;
  uint64_t distance = distance_from(block, search->address);
  if (distance < search->distance) search->distance = distance, search->block = *block;
  return !search->distance;
}

/* In the pages of a block of the primary's, or next to one. */
static bool find_small(uintptr_t address, struct event *event) {
  enum { NEXT_TO = 1 << 12 };
  struct ledger_place start = {0};
  struct search search = {address, NEXT_TO, {0}};
  ledger_search(&start, compare, &search);
  if (search.distance == NEXT_TO) return false;
  event_of_small(event, &search.block, address);
  return true;
}

size_t adopted_describe(uintptr_t address, char *out, size_t capacity) {
  static struct event event;
  static struct told told;
  struct text text = {out, capacity, 0};
  struct json json = JSON_LINE(&text);
  bool ours = region_holds((void *)address) || chunk_holds(address);
  event_of_fault(&event, 0, NULL, ours ? address : 0);
  if (!ours) find_small(address, &event);
  stack_find(event.history.allocated.stack, &told.stacks[1]);
  stack_find(event.history.freed.stack, &told.stacks[2]);
  json_open(&json);
  event_json_place(&json, &event);
  event_json_block(&json, &event, &told, &history_began);
  json_close(&json);
  return text.length;
}

/* Blocks */

static bool give_block(struct adopted_block *block, uint32_t granule) {
  const struct granule *record = &region.table[granule];
  uint32_t state = record->state;
  if (state < GRANULE_LIVE || state > GRANULE_QUARANTINED) return false;
  uintptr_t address = block_address(granule);
  struct history history = {0};
  history_get(granule, &history);
  const struct moment *allocated = &history.allocated;
  *block = (struct adopted_block){.address = address,
                                  .size = record->size,
                                  .first = page_down(address),
                                  .end = page_up(address + record->size),
                                  .state = state,
                                  .fill = record->fill,
                                  .stack = allocated->stack,
                                  .since = allocated->thread ? allocated->time - history_began : 0};
  return true;
}

size_t adopted_blocks(uint32_t *granule, struct adopted_block *blocks, size_t most) {
  size_t count = 0;
  if (!*granule) *granule = 1;
  for (; count < most && region_known(*granule); ++*granule)
    count += give_block(&blocks[count], *granule);
  return count;
}

/* Bit 63: present; 62: swapped; 61: a file's page; 58: a guard region; 56: mapped nowhere else. No
 * kernel sets bit 59, which is ours. */
#define ENTRY_HUGE (UINT64_C(1) << 59)

static enum adopted_page kind_of(uint64_t entry, bool zeros) {
  bool present = entry >> 63, file = entry >> 61 & 1, alone = entry >> 56 & 1;
  if (entry >> 58 & 1) return PAGE_GUARD;
  if (entry & ENTRY_HUGE && (alone || !zeros)) return PAGE_HUGE; /* else it may be that of zeros */
  if (!present) return entry >> 62 & 1 ? PAGE_SWAPPED : PAGE_UNTOUCHED;
  return !file && (alone || !zeros) ? PAGE_WRITTEN : PAGE_READ;
}

struct marking {
  uint64_t first, *entries;
};

static void mark(void *context, uintptr_t from, uintptr_t to) {
  const struct marking *marking = context;
  for (uintptr_t page = from; page < to; page += os_page)
    marking->entries[(page - marking->first) >> os_page_shift] |= ENTRY_HUGE;
}

void adopted_mark_huge(int pagemap, uint64_t first, uint64_t *entries, size_t count) {
  struct marking marking = {first, entries};
  os_huge_ranges(pagemap, first, count << os_page_shift, mark, &marking);
}

size_t adopted_runs(const uint64_t *entries, size_t count, bool zeros, struct adopted_run *runs,
                    uint64_t counts[PAGE_KINDS]) {
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    enum adopted_page kind = kind_of(entries[i], zeros);
    counts[kind]++;
    if (used && runs[used - 1].page == kind)
      runs[used - 1].count++;
    else
      runs[used++] = (struct adopted_run){kind, 1};
  }
  return used;
}

static double overlap(double from, double end, double low, double high) {
  if (from < low) from = low;
  if (end > high) end = high;
  return end > from ? end - from : 0;
}

void adopted_parts(const struct adopted_run *runs, size_t count, unsigned parts, uint8_t *pages,
                   uint8_t *shares) {
  static const uint8_t notes[PAGE_KINDS] = {/* which is most of note */
                                            [PAGE_WRITTEN] = 5,
                                            [PAGE_HUGE] = 4,
                                            [PAGE_SWAPPED] = 3,
                                            [PAGE_GUARD] = 2,
                                            [PAGE_READ] = 1};
  uint64_t total = 0, at = 0;
  for (size_t i = 0; i < count; i++) total += runs[i].count;
  size_t first = 0;
  for (unsigned part = 0; part < parts; part++) {
    double low = (double)total * part / parts, high = (double)total * (part + 1) / parts;
    double sums[PAGE_KINDS] = {0};
    while (first < count && (double)(at + runs[first].count) <= low) at += runs[first++].count;
    uint64_t from = at;
    for (size_t i = first; i < count && (double)from < high; from += runs[i++].count)
      sums[runs[i].page % PAGE_KINDS] +=
          overlap((double)from, (double)(from + runs[i].count), low, high);
    pages[part] = PAGE_UNTOUCHED;
    for (unsigned kind = 0; kind < PAGE_KINDS; kind++)
      if (sums[kind] > 0 && notes[kind] > notes[pages[part]]) pages[part] = (uint8_t)kind;
    shares[part] = (uint8_t)(255 * sums[pages[part]] / (high > low ? high - low : 1));
  }
}
