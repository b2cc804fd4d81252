/* Small requests with care (see careful.h). */
#include "careful.h"

#include "event.h"
#include "fault.h"
#include "fill.h"
#include "primary.h"
#include "recover.h"
#include "report.h"

#include <errno.h>
#include <string.h>

/* The last bytes of what the primary gave; some of the pattern lie before it at least. Of a freed
 * block glibc overwrites the last eight, and so the size. */
struct tail {
  uint32_t stack; /* of the allocation */
  uint32_t check;
  uint64_t size; /* bytes requested */
};
enum { PATTERN_LEAST = 8, TAIL = PATTERN_LEAST + sizeof(struct tail) };
_Static_assert(TAIL == 24, "as the option says");

static bool has_tails(const struct options *options) {
  return slack_checks(options, SLACK_ALL);
}

static struct tail *tail_of(void *pointer) {
  return (struct tail *)((char *)pointer + primary_usable_size(pointer) - sizeof(struct tail));
}

static uint32_t mix(uint64_t value) {
  return (uint32_t)(value * 0x9e3779b97f4a7c15 >> 32);
}

static uint32_t check_of(const void *pointer, const struct tail *tail) {
  return mix((uintptr_t)pointer ^ tail->size ^ (uint64_t)tail->stack << 32);
}

/* What stands for that in a freed block. */
static uint32_t check_of_freed(const void *pointer, const struct tail *tail) {
  return ~mix((uintptr_t)pointer ^ (uint64_t)tail->stack << 32);
}

/* Which need not be aligned. */
static void put_tail(void *pointer, const struct tail *tail) {
  memcpy(tail_of(pointer), tail, sizeof *tail);
}

static void fill_chosen(struct patalloc_heap *heap, void *pointer, size_t size) {
  struct choice choice = hunt_count(&heap->options, size);
  uintptr_t start = (uintptr_t)pointer;
  for (size_t i = 0; i < choice.count; i++) {
    uintptr_t from = start, end = start + size; /* the slack is the heap's own */
    if (hunt_part(&choice, i, start, &from, &end))
      fill_pattern(hunt_pattern(&heap->options), (void *)from, end - from);
  }
}

/* With the pattern in all of it, or behind zeros. */
static void *finish(struct patalloc_heap *heap, void *pointer, size_t size, bool zero) {
  const struct options *options = &heap->options;
  if (!pointer) return NULL;
  if (options->small_fill || has_tails(options)) {
    size_t from = options->small_fill && !zero ? 0 : size;
    fill_pattern(options->pattern, (char *)pointer + from, primary_usable_size(pointer) - from);
  }
  if (heap->hunts && !zero) fill_chosen(heap, pointer, size);
  if (!has_tails(options)) return pointer;
  if (heap->reports) fault_watch(false);
  struct tail tail = {heap->reports ? stack_keep(options) : 0, 0, size};
  tail.check = check_of(pointer, &tail);
  put_tail(pointer, &tail);
  return pointer;
}

static bool add_tail(const struct patalloc_heap *heap, size_t size, size_t *room) {
  bool fits = !__builtin_add_overflow(size, has_tails(&heap->options) ? TAIL : 0, room);
  if (!fits) errno = ENOMEM;
  return fits;
}

void *careful_aligned(struct patalloc_heap *heap, size_t alignment, size_t size) {
  size_t room;
  if (!add_tail(heap, size, &room)) return NULL;
  return finish(heap, alignment ? primary_aligned(alignment, room) : primary_malloc(room), size,
                false);
}

void *careful_calloc(struct patalloc_heap *heap, size_t size) {
  size_t room;
  if (!add_tail(heap, size, &room)) return NULL;
  return finish(heap, primary_calloc(1, room), size, true);
}

struct look {
  struct pattern pattern;
  void *pointer;
  uintptr_t tail_start;
  struct tail tail;
  bool freed, sound;
  struct slack_part part; /* that was overwritten, if it is not */
};

/* Where the tail itself is overwritten the block's size is lost. */
static void look_at_tail(void *context) {
  struct look *look = context;
  struct tail *tail = &look->tail;
  look->tail_start = (uintptr_t)tail_of(look->pointer);
  memcpy(tail, (const void *)look->tail_start, sizeof *tail);
  look->freed = tail->check == check_of_freed(look->pointer, tail);
  if (tail->check != check_of(look->pointer, tail)) {
    look->part = (struct slack_part){look->tail_start, look->tail_start + sizeof *tail};
    look->tail.size = UINT64_MAX;
    return;
  }
  uintptr_t end = (uintptr_t)look->pointer + tail->size;
  look->sound = !slack_find(look->pattern, end, look->tail_start, &look->part);
}

enum finding { LIVE, FREED, UNREADABLE };

/* What is no block may have no readable tail: that is left to the primary. */
static enum finding check_tail(struct patalloc_heap *heap, const char *call, void *pointer,
                               struct tail *tail) {
  struct look look = {.pattern = heap->options.pattern, .pointer = pointer};
  struct event event;
  if (!recover_try(look_at_tail, &look)) return UNREADABLE;
  *tail = look.tail;
  if (look.sound) return LIVE;
  if (look.freed)
    event_of_freed_small(&event, call, pointer, tail->stack);
  else
    event_of_small_overwrite(&event, call, pointer, tail->size, tail->stack, look.part.from,
                             look.part.end);
  report_error(heap, &event);
  if (tail->size == UINT64_MAX) tail->size = look.tail_start - (uintptr_t)pointer;
  return look.freed ? FREED : LIVE;
}

size_t careful_usable_size(struct patalloc_heap *heap, const char *call, void *pointer) {
  struct tail tail;
  if (!has_tails(&heap->options)) return primary_usable_size(pointer);
  enum finding found = check_tail(heap, call, pointer, &tail);
  return found == UNREADABLE ? primary_usable_size(pointer) : found == LIVE ? tail.size : 0;
}

/* Not of what is so large that it can't be one of these blocks, but is a wrong address. */
static void fill_freed(const struct options *options, void *pointer) {
  size_t usable = primary_usable_size(pointer);
  struct pattern complement = {~options->pattern.word, options->pattern.size};
  if (usable / 2 < options->threshold) fill_pattern(complement, pointer, usable);
}

void careful_free(struct patalloc_heap *heap, void *pointer) {
  const struct options *options = &heap->options;
  struct tail tail;
  if (!pointer) return;
  enum finding found = has_tails(options) ? check_tail(heap, "free", pointer, &tail) : LIVE;
  if (found == FREED) return;
  if (found == LIVE && options->small_fill == SMALL_FILL_BOTH) fill_freed(options, pointer);
  if (found == LIVE && has_tails(options)) {
    tail.check = check_of_freed(pointer, &tail);
    put_tail(pointer, &tail);
  }
  primary_free(pointer);
}

/* Always to another place, so that what is given up is filled. Size 0 frees, as with glibc. */
void *careful_realloc(struct patalloc_heap *heap, void *pointer, size_t have, size_t size) {
  if (!size) return careful_free(heap, pointer), NULL;
  void *moved = careful_aligned(heap, 0, size);
  if (!moved) return NULL;
  memcpy(moved, pointer, have < size ? have : size);
  careful_free(heap, pointer);
  return moved;
}
