/* Leaks (see leaks.h). What points to a block is looked for as collectors of garbage do that know
 * no types (Boehm and Weiser, Garbage Collection in an Uncooperative Environment, 1988): any word
 * that holds an address within it, in the program's data, its threads' stacks, and blocks that are
 * found so themselves. Other threads go on meanwhile, and what they have in registers alone is
 * missed. */
#include "heap/leaks.h"

#include "blocks/arena.h"
#include "blocks/slot.h"
#include "heap/heap.h"
#include "os/features.h"
#include "os/files.h"
#include "os/memory.h"
#include "os/pagemap.h"
#include "pages/chunk.h"
#include "watch/event.h"
#include "watch/fault.h"
#include "watch/ledger.h"
#include "watch/recover.h"
#include "watch/report.h"

#include <setjmp.h>
#include <string.h>

/* Ranges of addresses are noted before they are gone through: reading the files that tell of them
 * may be another thread's work. */
struct range {
  uintptr_t from, end;
};
enum { RANGES_MOST = 1 << 16 };
struct ranges {
  struct range *list;
  size_t count; /* also of those that there is no room for */
};

/* All live blocks, by address */

struct live {
  uintptr_t start;
  uint64_t size;
  uint32_t stack;
  bool small, found; /* the primary's; something points to it */
};

static struct {
  struct live *blocks;
  uint32_t *waiting; /* found, and not looked into yet */
  size_t count, room, waits;
  struct ranges mappings, written;
} all; /* all that it points to is in one piece, and no root */

static void add(uintptr_t start, uint64_t size, uint32_t stack, bool small) {
  if (all.count < all.room) all.blocks[all.count] = (struct live){start, size, stack, small, false};
  all.count++;
}

static bool add_small(void *unused, struct small_block *block) {
  (void)unused;
  if (!block->held) add(block->address, block->size, block->stack, true);
  return false; /* nor is any other wanted */
}

static void add_all(void) {
  struct history history;
  struct ledger_place place = {0};
  all.count = 0;
  ledger_search(&place, add_small, NULL);
  for (uint32_t slot = 0; (slot = slot_enter_next(slot));) {
    add(slot_block(slot), slot_table[slot].size, slot_table[slot].allocated.stack, false);
    slot_leave(slot);
  }
  for (uint32_t granule = 1; region_known(granule); granule++)
    if (block_state(granule) == GRANULE_LIVE)
      add(block_address(granule), region.table[granule].size,
          history_get(granule, &history) ? history.allocated.stack : 0, false);
}

static size_t bytes_of(size_t room) {
  return page_up(room * (sizeof *all.blocks + sizeof *all.waiting)) +
         2 * RANGES_MOST * sizeof(struct range);
}

/* Twice, as it is not known beforehand how many there are; threads may have added some. */
static bool collect(void) {
  add_all();
  all.room = all.count + all.count / 8 + 64;
  all.blocks = os_map(bytes_of(all.room));
  if (!all.blocks) return false;
  all.mappings.list = (struct range *)all.blocks;
  all.written.list = all.mappings.list + RANGES_MOST;
  all.blocks = (struct live *)(all.written.list + RANGES_MOST);
  all.waiting = (uint32_t *)(all.blocks + all.room);
  add_all();
  if (all.count > all.room) all.count = all.room;
  return true;
}

/* Heapsort (Williams, 1964): qsort(3) calls malloc. */

typedef bool before_function(const struct live *, const struct live *);

static void sift(size_t root, size_t count, before_function *before) {
  for (size_t child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && before(&all.blocks[child], &all.blocks[child + 1])) child++;
    if (!before(&all.blocks[root], &all.blocks[child])) return;
    struct live moved = all.blocks[root];
    all.blocks[root] = all.blocks[child];
    all.blocks[child] = moved;
  }
}

static void sort(before_function *before) {
  for (size_t root = all.count / 2; root--;) sift(root, all.count, before);
  for (size_t end = all.count; end-- > 1;) {
    struct live last = all.blocks[end];
    all.blocks[end] = all.blocks[0];
    all.blocks[0] = last;
    sift(0, end, before);
  }
}

static bool is_lower(const struct live *one, const struct live *other) {
  return one->start < other->start;
}

static bool is_of_lower_stack(const struct live *one, const struct live *other) {
  return one->found != other->found ? other->found : one->stack < other->stack;
}

/* What points to them */

static struct live *block_at(uintptr_t address) {
  size_t low = 0, high = all.count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (all.blocks[middle].start <= address)
      low = middle + 1;
    else
      high = middle;
  }
  struct live *block = low ? &all.blocks[low - 1] : NULL;
  bool holds = block && address - block->start < block->size + !block->size;
  return holds ? block : NULL;
}

static void scan(void *scanned) {
  const struct range *range = scanned;
  for (uintptr_t at = (range->from + 7) & ~(uintptr_t)7; at + 8 <= range->end; at += 8) {
    struct live *block = block_at(mte_untag(*(const uintptr_t *)at));
    if (!block || block->found) continue;
    block->found = true;
    all.waiting[all.waits++] = (uint32_t)(block - all.blocks);
  }
}

/* By pages, as some may be guards, or gone by now. */
static void scan_pages(uintptr_t from, uintptr_t end) {
  for (uintptr_t next; from < end; from = next) {
    next = page_down(from) + os_page;
    struct range range = {from, next < end ? next : end};
    recover_try(scan, &range);
  }
}

static void scan_found(void) {
  while (all.waits) {
    const struct live *block = &all.blocks[all.waiting[--all.waits]];
    scan_pages(block->start, block->start + block->size);
  }
}

/* Not what the heap and the primary have: that is looked into block by block, and their own records
 * have the addresses of all. The primary's memory is [heap], and that of glibc's arenas, which lies
 * at multiples of so much. */
enum { OF_ARENA = 1 << 26 }; /* HEAP_MAX_SIZE */

static bool has_small(uintptr_t from, uintptr_t end) {
  size_t low = 0, high = all.count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (all.blocks[middle].start < from)
      low = middle + 1;
    else
      high = middle;
  }
  return low < all.count && all.blocks[low].start < end && all.blocks[low].small;
}

static bool is_looked_into(uintptr_t page, const struct range *mapping) {
  uintptr_t arena = page & -(uintptr_t)OF_ARENA;
  return page - (uintptr_t)all.mappings.list < bytes_of(all.room) || ledger_lies_at(page) ||
         (arena >= mapping->from && has_small(arena, arena + OF_ARENA));
}

static void note(struct ranges *ranges, uintptr_t from, uintptr_t end) {
  if (ranges->count < RANGES_MOST) ranges->list[ranges->count] = (struct range){from, end};
  ranges->count++;
}

static void note_written(void *written, uintptr_t from, uintptr_t end) {
  note(written, from, end);
}

/* What was never written points to nothing, and is not to be made by reading it. */
static bool scan_mapping(const struct range *mapping, struct ranges *written) {
  if (region_holds((void *)mapping->from) || chunk_holds(mapping->from) ||
      region_has_table(mapping->from))
    return true;
  written->count = 0;
  if (!os_dirty_ranges(mapping->from, mapping->end - mapping->from, true, note_written, written) ||
      written->count > RANGES_MOST)
    return false;
  for (size_t i = 0; i < written->count; i++)
    for (uintptr_t page = written->list[i].from; page < written->list[i].end; page += os_page)
      if (!is_looked_into(page, mapping)) scan_pages(page, page + os_page);
  return true;
}

/* start-end permissions offset device inode path. What is shared may be a device's. */
static void note_mapping(void *mappings, const char *line) {
  struct range range = {.from = text_take_hex(&line)};
  if (*line++ != '-') return;
  range.end = text_take_hex(&line);
  bool wanted = line[0] == ' ' && line[1] == 'r' && line[2] == 'w' && line[4] == 'p';
  if (wanted && !text_after(line, "[heap]")) note(mappings, range.from, range.end);
}

/* False where it can't be told. */
static bool find_pointers(const struct options *options) {
  static char line[1 << 13];
  jmp_buf registers; /* of this thread: on its stack so */
  setjmp(registers);
  all.mappings.count = 0;
  bool able = os_uses(options, OS_PAGEMAP_SCAN) &&
              os_each_line("/proc/self/maps", line, sizeof line, note_mapping, &all.mappings) &&
              all.mappings.count <= RANGES_MOST;
  for (size_t i = 0; able && i < all.mappings.count; i++)
    able = scan_mapping(&all.mappings.list[i], &all.written);
  if (able) scan_found();
  return able;
}

/* Another thread may have freed one meanwhile, or moved what points to it. */

static bool is_live(const struct live *block) {
  struct small_block now;
  const void *pointer = (const void *)block->start;
  if (block->small)
    return ledger_find(pointer, &now) && !now.held && now.size == block->size &&
           now.stack == block->stack;
  if (chunk_holds(block->start)) return slot_is_live(chunk_slot_of(block->start), pointer);
  uint32_t granule = granule_of(block->start);
  return block_state(granule) == GRANULE_LIVE && block_address(granule) == block->start;
}

static void leave_out_freed(void) {
  size_t count = 0;
  for (size_t i = 0; i < all.count; i++)
    if (all.blocks[i].found || is_live(&all.blocks[i])) all.blocks[count++] = all.blocks[i];
  all.count = count;
}

/* What is told: by call stack, those by which most is lost */

enum { TOLD = 50 };
static struct group {
  const struct live *one;
  uint64_t blocks, bytes;
} largest[TOLD];

static void note_group(const struct group *group) {
  int at = TOLD;
  while (at && largest[at - 1].bytes < group->bytes) at--;
  if (at == TOLD) return;
  memmove(&largest[at + 1], &largest[at], (size_t)(TOLD - at - 1) * sizeof *largest);
  largest[at] = *group;
}

/* Of all that are found, or are not; they are sorted by that, and by stack. */
static struct group note_groups(bool found) {
  struct group total = {NULL, 0, 0};
  memset(largest, 0, sizeof largest);
  for (size_t at = 0; at < all.count;) {
    struct group group = {&all.blocks[at], 0, 0};
    for (; at < all.count && all.blocks[at].stack == group.one->stack &&
           all.blocks[at].found == group.one->found;
         at++)
      group.blocks++, group.bytes += all.blocks[at].size;
    if (group.one->found != found) continue;
    note_group(&group);
    total.blocks += group.blocks;
    total.bytes += group.bytes;
  }
  return total;
}

static void tell(const struct watch *watch, bool found) {
  struct group total = note_groups(found);
  struct event event;
  char line[200];
  struct text text = TEXT(line);
  for (int i = 0; i < TOLD && largest[i].one; i++) {
    const struct live *one = largest[i].one;
    event_of_leak(&event, one->start, one->size, one->stack);
    event.kind = found ? EVENT_STILL_REACHABLE : EVENT_LEAK;
    event.leaked = (struct leaked){largest[i].blocks, largest[i].bytes};
    report_leak(watch, &event);
  }
  if (!total.blocks) return;
  text_around(&text, "leaks: ", total.blocks, total.blocks == 1 ? " block" : " blocks");
  text_around(&text, ", ", total.bytes, " bytes, that nobody has freed, and that ");
  text_string(&text, found ? "something points to" : "nothing points to");
  report_line(line);
}

void leaks_tell(struct patalloc_heap *heap) {
  fault_watch(false);
  if (!collect()) return report_line("leaks: there is no memory to look for them");
  sort(is_lower);
  bool able = find_pointers(&heap->options) && find_pointers(&heap->options);
  leave_out_freed();
  sort(is_of_lower_stack);
  if (!able)
    report_line("leaks: what points to blocks can't be told: that takes /proc and pagemap_scan");
  if (able) tell(&heap->watch, false);
  if (able && heap->options.leaks == LEAKS_ALL) tell(&heap->watch, true);
  os_unmap(all.mappings.list, bytes_of(all.room));
}
