/* Small requests with care (see careful.h). */
#include "heap/careful.h"

#include "heap/small.h"
#include "pages/fill.h"
#include "watch/tail.h"

#include <errno.h>
#include <string.h>

static void choose_small(struct patalloc_heap *heap, void *pointer, size_t size) {
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
  bool tails = tail_is_due(&heap->watch);
  if (!pointer) return NULL;
  if (options->small_fill || tails) {
    size_t from = options->small_fill && !zero ? 0 : size;
    fill_pattern(options->pattern, (char *)pointer + from, primary.usable_size(pointer) - from);
  }
  if (heap->watch.hunts && !zero) choose_small(heap, pointer, size);
  if (tails) tail_put(&heap->watch, pointer, size);
  return pointer;
}

static bool add_tail(const struct patalloc_heap *heap, size_t size, size_t *room) {
  bool fits = !__builtin_add_overflow(size, tail_is_due(&heap->watch) ? TAIL_BYTES : 0, room);
  if (!fits) errno = ENOMEM;
  return fits;
}

static void *careful_malloc(struct patalloc_heap *heap, size_t size) {
  size_t room;
  return add_tail(heap, size, &room) ? finish(heap, small_malloc(heap, room), size, false) : NULL;
}

static void *careful_calloc(struct patalloc_heap *heap, size_t size) {
  size_t room;
  return add_tail(heap, size, &room) ? finish(heap, small_calloc(heap, room), size, true) : NULL;
}

static void *careful_aligned(struct patalloc_heap *heap, size_t alignment, size_t size) {
  size_t room;
  if (!add_tail(heap, size, &room)) return NULL;
  return finish(heap, small_aligned(heap, alignment, room), size, false);
}

static size_t careful_usable_size(struct patalloc_heap *heap, const char *call, void *pointer) {
  struct tail tail;
  if (!tail_is_due(&heap->watch)) return primary.usable_size(pointer);
  enum tail_state state = tail_check(&heap->watch, call, pointer, &tail);
  return state == TAIL_UNREADABLE ? primary.usable_size(pointer)
         : state == TAIL_LIVE     ? tail.size
                                  : 0;
}

/* Not of what is so large that it can't be one of these blocks, but is a wrong address. */
static void fill_freed(const struct options *options, void *pointer) {
  size_t usable = primary.usable_size(pointer);
  struct pattern complement = {~options->pattern.word, options->pattern.size};
  if (usable / 2 < options->threshold) fill_pattern(complement, pointer, usable);
}

/* What can't be read is left to the primary. */
static void careful_free(struct patalloc_heap *heap, void *pointer) {
  const struct watch *watch = &heap->watch;
  bool tails = tail_is_due(watch);
  struct tail tail;
  if (!pointer) return;
  enum tail_state state = tails ? tail_check(watch, "free", pointer, &tail) : TAIL_LIVE;
  if (state == TAIL_FREED) return;
  if (state == TAIL_LIVE && heap->options.small_fill == SMALL_FILL_BOTH)
    fill_freed(&heap->options, pointer);
  if (state == TAIL_LIVE && tails) tail_end(watch, pointer, &tail);
  primary.free(pointer);
}

/* Always to another place, so that what is given up is filled. Size 0 frees, as with glibc. */
static void *careful_realloc(struct patalloc_heap *heap, void *pointer, size_t have, size_t size) {
  if (!size) return careful_free(heap, pointer), NULL;
  void *moved = careful_malloc(heap, size);
  if (!moved) return NULL;
  memcpy(moved, pointer, have < size ? have : size);
  careful_free(heap, pointer);
  return moved;
}

const struct small_path small_careful = {careful_malloc, careful_calloc,  careful_aligned,
                                         careful_free,   careful_realloc, careful_usable_size};
