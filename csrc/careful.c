/* Small requests with care (see careful.h). */
#include "careful.h"

#include "event.h"
#include "fill.h"
#include "primary.h"
#include "report.h"

#include <errno.h>
#include <string.h>

/* The last bytes of what the primary gave; some of the pattern lie before it at least. */
struct tail {
  uint64_t size;  /* bytes requested */
  uint32_t stack; /* of the allocation */
  uint32_t check;
};
enum { PATTERN_LEAST = 8, TAIL = PATTERN_LEAST + sizeof(struct tail) };
_Static_assert(TAIL == 24, "as the option says");

static bool has_tails(const struct options *options) {
  return slack_checks(options, SLACK_ALL);
}

static struct tail *tail_of(void *pointer) {
  return (struct tail *)((char *)pointer + primary_usable_size(pointer) - sizeof(struct tail));
}

static uint32_t check_of(const void *pointer, const struct tail *tail) {
  uint64_t mixed =
      ((uintptr_t)pointer ^ tail->size ^ (uint64_t)tail->stack << 32) * 0x9e3779b97f4a7c15;
  return (uint32_t)(mixed >> 32);
}

/* With the pattern from `from` on: 0, or what the program is to find there ends. */
static void *finish(struct patalloc_heap *heap, void *pointer, size_t size, size_t from) {
  const struct options *options = &heap->options;
  if (!pointer) return NULL;
  if (options->small_fill || has_tails(options)) {
    if (!options->small_fill) from = size;
    fill_pattern(options->pattern, (char *)pointer + from, primary_usable_size(pointer) - from);
  }
  if (!has_tails(options)) return pointer;
  struct tail tail = {size, options_report(options) ? stack_keep(options) : 0, 0};
  tail.check = check_of(pointer, &tail);
  memcpy(tail_of(pointer), &tail, sizeof tail); /* which need not be aligned */
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
  return finish(heap, alignment ? primary_aligned(alignment, room) : primary_malloc(room), size, 0);
}

void *careful_calloc(struct patalloc_heap *heap, size_t size) {
  size_t room;
  if (!add_tail(heap, size, &room)) return NULL;
  return finish(heap, primary_calloc(1, room), size, size);
}

/* Where the tail itself is overwritten the block's size is lost. */
static uint64_t check_tail(struct patalloc_heap *heap, const char *call, void *pointer) {
  struct tail tail;
  struct slack_part part;
  struct event event;
  uintptr_t start = (uintptr_t)pointer, end = (uintptr_t)tail_of(pointer);
  memcpy(&tail, (void *)end, sizeof tail);
  if (tail.check != check_of(pointer, &tail)) {
    part = (struct slack_part){end, end + sizeof tail};
    tail = (struct tail){.size = UINT64_MAX};
  } else if (!slack_find(heap->options.pattern, start + tail.size, end, &part)) {
    return tail.size;
  }
  event_of_small_overwrite(&event, call, pointer, tail.size, tail.stack, part.from, part.end);
  report_error(heap, &event);
  return tail.size == UINT64_MAX ? end - start : tail.size;
}

size_t careful_usable_size(struct patalloc_heap *heap, const char *call, void *pointer) {
  bool tails = has_tails(&heap->options);
  return tails ? check_tail(heap, call, pointer) : primary_usable_size(pointer);
}

void careful_free(struct patalloc_heap *heap, void *pointer) {
  const struct options *options = &heap->options;
  if (!pointer) return;
  if (has_tails(options)) check_tail(heap, "free", pointer);
  if (options->small_fill == SMALL_FILL_BOTH) {
    struct pattern complement = {~options->pattern.word, options->pattern.size};
    fill_pattern(complement, pointer, primary_usable_size(pointer));
  }
  primary_free(pointer);
}

/* Always to another place, so that what is given up is filled. */
void *careful_realloc(struct patalloc_heap *heap, void *pointer, size_t have, size_t size) {
  void *moved = careful_aligned(heap, 0, size);
  if (!moved) return NULL;
  memcpy(moved, pointer, have < size ? have : size);
  careful_free(heap, pointer);
  return moved;
}
