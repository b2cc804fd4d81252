/* Small requests with care (see careful.h). Blocks that are known (watch/ledger.h) are looked at;
 * others go to the primary as they are. */
#include "heap/careful.h"

#include "heap/fork.h"
#include "heap/held.h"
#include "heap/primary.h"
#include "heap/small.h"
#include "pages/compare.h"
#include "pages/fill.h"
#include "watch/event.h"
#include "watch/fault.h"
#include "watch/note.h"
#include "watch/origin.h"
#include "watch/program.h"
#include "watch/report.h"

#include <errno.h>

/* Neither where the primary doesn't tell how large its blocks are. */
static bool fills_freed(const struct options *options) {
  return options->small_fill == SMALL_FILL_BOTH && options->pattern.size && primary.sized;
}

static bool checks(const struct options *options) {
  return slack_checks(options, SLACK_ALL) && primary.sized;
}

USUAL static bool finds_leaks(const struct options *options) {
  return options->leaks && options_report(options) && primary.sized;
}

bool careful_is_due(const struct options *options) {
  return fills_freed(options) || checks(options) || finds_leaks(options) ||
         hunt_is_asked_for(options) || ledger_used();
}

/* What glibc has in front of a block: its size and the header's, and three flags, which change. */
static size_t header_of(const void *pointer) {
  return ((const size_t *)pointer)[-1] & ~(size_t)7;
}

bool careful_is_current(const struct small_block *block) {
  void *pointer = (void *)block->address;
  if (!primary.headed) return primary.usable_size(pointer) == block->room;
  size_t header = header_of(pointer), room = block->room;
  return header == room + 8 || header == room + 16; /* the latter of a mapping of its own */
}

/* The entry of a block of the heap's. False of one that is another's by now, and forgotten. */
static bool find(const void *pointer, struct small_block *block) {
  if (!ledger_find(pointer, block)) return false;
  if (careful_is_current(block)) return true;
  ledger_strike(pointer, block);
  return false;
}

/* The pattern from `from` on, to `room`, and what a hunt has chosen for the first `size` bytes: the
 * slack is the heap's own. */
static void fill_chosen(struct patalloc_heap *heap, void *pointer, size_t size, size_t from,
                        size_t room) {
  struct chosen chosen = hunt_count(&heap->options, size);
  struct pattern pattern = options_pattern(&heap->options);
  uintptr_t start = (uintptr_t)pointer, at = start + from, low, end;
  for (size_t i = 0; i < chosen.choice.count; i++) {
    low = start, end = start + size;
    if (!hunt_is_stale(&chosen, i) || !hunt_part(&chosen, i, start, &low, &end)) continue;
    if (at < low) fill_pattern(pattern, (void *)at, low - at);
    if (at < end) at = end;
  }
  if (at < start + room) fill_pattern(pattern, (void *)at, start + room - at);
  for (size_t i = 0; i < chosen.choice.count; i++) {
    low = start, end = start + size;
    if (hunt_part(&chosen, i, start, &low, &end)) hunt_fill(&chosen, i, start, low, end);
  }
  hunt_made(&chosen, pointer, size);
}

void careful_renew(struct patalloc_heap *heap, void *memory, size_t size) {
  struct pattern pattern = options_pattern(&heap->options);
  if (heap->watch.hunts)
    fill_chosen(heap, memory, size, pattern.size ? 0 : size, size);
  else if (pattern.size)
    fill_pattern(pattern, memory, size);
}

static void enter(const struct watch *watch, struct pattern pattern, void *pointer, size_t size,
                  size_t room) {
  bool checked = checks(watch->options), kept = checked || finds_leaks(watch->options);
  bool told = kept && watch->reports;
  if (room > UINT32_MAX || (!kept && !fills_freed(watch->options))) return;
  int error = errno;
  if (told) fault_watch(false);
  ledger_enter(&(struct small_block){.address = (uintptr_t)pointer,
                                     .size = (uint32_t)size,
                                     .room = (uint32_t)room,
                                     .around = checked ? pattern_number(pattern) : 0,
                                     .stack = told ? stack_record(watch->options) : 0,
                                     .note = told ? note_now() : 0});
  errno = error;
}

/* With the pattern in all of it, or behind zeros. */
static void *finish(struct patalloc_heap *heap, void *pointer, size_t size, bool zero) {
  const struct options *options = &heap->options;
  struct pattern pattern = options_pattern(options);
  if (!pointer) return NULL;
  fork_expect();
  size_t room = primary.usable_size(pointer);
  bool fills = options->small_fill || checks(options);
  size_t from = !fills ? room : options->small_fill && !zero ? 0 : size;
  if (heap->watch.hunts && zero) hunt_count_zeros(options, size);
  if (heap->watch.hunts && !zero)
    fill_chosen(heap, pointer, size, from, room);
  else if (from < room)
    fill_pattern(pattern, (char *)pointer + from, room - from);
  enter(&heap->watch, pattern, pointer, size, room);
  return pointer;
}

static bool add_slack(const struct patalloc_heap *heap, size_t size, size_t *room) {
  size_t slack = checks(&heap->options) ? SMALL_SLACK : 0;
  bool fits = !__builtin_add_overflow(size, slack, room);
  if (!fits) errno = ENOMEM;
  return fits;
}

static void *careful_malloc(struct patalloc_heap *heap, size_t size) {
  size_t room;
  return add_slack(heap, size, &room) ? finish(heap, small_malloc(heap, room), size, false) : NULL;
}

static void *careful_calloc(struct patalloc_heap *heap, size_t size) {
  size_t room;
  return add_slack(heap, size, &room) ? finish(heap, small_calloc(heap, room), size, true) : NULL;
}

static void *careful_aligned(struct patalloc_heap *heap, size_t alignment, size_t size) {
  size_t room;
  if (!add_slack(heap, size, &room)) return NULL;
  return finish(heap, small_aligned(heap, alignment, room), size, false);
}

static void report_freed(const struct watch *watch, const char *call,
                         const struct small_block *block) {
  struct event event;
  event_of_freed_small(&event, call, block);
  report_error(watch, &event);
}

static size_t careful_usable_size(struct patalloc_heap *heap, const char *call, void *pointer) {
  struct small_block block;
  if (!find(pointer, &block)) return primary.usable_size(pointer);
  if (!checks(&heap->options)) return block.room;
  if (block.held) return report_freed(&heap->watch, call, &block), USABLE_NONE;
  slack_check_small(&heap->watch, call, &block);
  return block.size;
}

static void give_up(struct patalloc_heap *heap, void *pointer) {
  const struct options *options = &heap->options;
  if (heap->watch.hunts) hunt_freed(pointer);
  bool checked = checks(options);
  bool holds = checked && !(heap->watch.hunts && hunt_leaves_freed());
  struct pattern pattern = options_pattern(options), complement = {~pattern.word, pattern.size};
  struct small_block block;
  bool known = holds ? ledger_hold(pointer, pattern_number(complement), &block)
                     : ledger_strike(pointer, &block);
  if (known && !block.held && !careful_is_current(&block)) { /* as in find, but with one search */
    ledger_strike(pointer, &block);
    known = false;
  }
  if (!known && heap->watch.reports) fault_watch(false);
  if (!known && program_owns(pointer, heap->watch.reports))
    return report_misuse(&heap->watch, "free", pointer);
  if (!known) return primary.free(pointer);
  if (block.held) return report_freed(&heap->watch, "free", &block);
  origin_expect_malloc(&heap->watch, "free", pointer, block.origin);
  if (checked) slack_check_small(&heap->watch, "free", &block);
  if (holds || fills_freed(options)) fill_pattern(complement, pointer, block.room);
  if (holds) return held_add(&block, &heap->watch);
  primary.free(pointer);
}

static void careful_free(struct patalloc_heap *heap, void *pointer) {
  int error = errno;
  if (pointer) give_up(heap, pointer);
  errno = error;
}

/* To another place, so that what is given up is filled. */
static void *careful_realloc(struct patalloc_heap *heap, void *pointer, size_t have, size_t size) {
  struct small_block block;
  if (!find(pointer, &block)) return small_plain.realloc(heap, pointer, have, size);
  origin_expect_malloc(&heap->watch, "realloc", pointer, block.origin);
  origin_set(pointer, ORIGIN_CHECKED, 0);
  return small_move(heap, &small_careful, pointer, have, size);
}

const struct small_path small_careful = {careful_malloc, careful_calloc,  careful_aligned,
                                         careful_free,   careful_realloc, careful_usable_size};
