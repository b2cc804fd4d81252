/* Small requests (see small.h). */
#include "heap/small.h"

#include "heap/held.h"
#include "heap/primary.h"
#include "pages/fill.h"

#include <errno.h>
#include <string.h>

__attribute__((always_inline)) static inline void *fill_small(const struct patalloc_heap *heap,
                                                              void *pointer, size_t from) {
  const struct options *options = &heap->options;
  struct pattern pattern = options_pattern(options);
  if (__builtin_expect(pointer && options->small_fill && pattern.size, true)) {
    size_t usable = primary.usable_size(pointer);
    if (__builtin_expect(from < usable, true))
      fill_pattern(pattern, (char *)pointer + from, usable - from);
  }
  return pointer;
}

bool small_again(struct patalloc_heap *heap) {
  size_t held = held_drain(&heap->watch);
  if (heap_release(heap) || held) return true;
  errno = ENOMEM;
  return false;
}

void *small_move(struct patalloc_heap *heap, const struct small_path *path, void *pointer,
                 size_t have, size_t size) {
  void *moved = size ? path->malloc(heap, size) : NULL;
  if (size && !moved) return NULL;
  if (moved) memcpy(moved, pointer, have < size ? have : size);
  path->free(heap, pointer);
  return moved;
}

static void *plain_malloc(struct patalloc_heap *heap, size_t size) {
  return fill_small(heap, small_malloc(heap, size), 0);
}

/* The slack is filled, as realloc may hand it out. */
static void *plain_calloc(struct patalloc_heap *heap, size_t size) {
  return fill_small(heap, small_calloc(heap, size), size);
}

RARE static void *plain_aligned(struct patalloc_heap *heap, size_t alignment, size_t size) {
  return fill_small(heap, small_aligned(heap, alignment, size), 0);
}

static void plain_free(struct patalloc_heap *heap, void *pointer) {
  (void)heap;
  primary.free(pointer);
}

static void *plain_realloc(struct patalloc_heap *heap, void *pointer, size_t have, size_t size) {
  void *resized = primary.realloc(pointer, size);
  if (__builtin_expect(!resized, false) && size && small_again(heap))
    resized = primary.realloc(pointer, size);
  return fill_small(heap, resized, size < have ? size : have);
}

static size_t plain_usable_size(struct patalloc_heap *heap, const char *call, void *pointer) {
  (void)heap, (void)call;
  return primary.usable_size(pointer);
}

const struct small_path small_plain = {plain_malloc, plain_calloc,  plain_aligned,
                                       plain_free,   plain_realloc, plain_usable_size};

/* Counted: as summaries have it, and no other process */

RARE static const struct small_path *count_small(struct patalloc_heap *heap, size_t size) {
  struct stats *stats = heap_stats(heap);
  stats_add(stats, STAT_SMALL_REQUESTS, 1);
  stats_add(stats, STAT_SMALL_BYTES, size);
  return heap->uncounted;
}

RARE static void *counted_malloc(struct patalloc_heap *heap, size_t size) {
  return count_small(heap, size)->malloc(heap, size);
}

RARE static void *counted_calloc(struct patalloc_heap *heap, size_t size) {
  return count_small(heap, size)->calloc(heap, size);
}

RARE static void *counted_aligned(struct patalloc_heap *heap, size_t alignment, size_t size) {
  return count_small(heap, size)->aligned(heap, alignment, size);
}

RARE static void counted_free(struct patalloc_heap *heap, void *pointer) {
  heap->uncounted->free(heap, pointer);
}

RARE static void *counted_realloc(struct patalloc_heap *heap, void *pointer, size_t have,
                                  size_t size) {
  return count_small(heap, size)->realloc(heap, pointer, have, size);
}

RARE static size_t counted_usable_size(struct patalloc_heap *heap, const char *call,
                                       void *pointer) {
  return heap->uncounted->usable_size(heap, call, pointer);
}

const struct small_path small_counted = {counted_malloc, counted_calloc,  counted_aligned,
                                         counted_free,   counted_realloc, counted_usable_size};
