/* What is known of C++'s operators (see origins.h). */
#include "preload/origins.h"
#include "base/rare.h"
#include "preload/interpose.h"
#include "watch/origin.h"

void patalloc_requested(const void *pointer, bool array, size_t alignment, bool whole) {
  struct patalloc_heap *heap = interposed_heap();
  if (!heap) return;
  if (heap->options.count) stats_add(heap_stats(heap), STAT_NEW_REQUESTS, 1);
  if (pointer && origin_is_checked(&heap->options))
    origin_set(pointer,
               !whole  ? ORIGIN_CHECKED
               : array ? ORIGIN_NEW_ARRAY
                       : ORIGIN_NEW,
               whole ? alignment : 0);
}

void patalloc_given(const void *pointer, bool array, size_t alignment, bool sized, size_t size) {
  struct patalloc_heap *heap = interposed_heap();
  struct giving giving = {.call = array ? "operator delete[]" : "operator delete",
                          .origin = array ? ORIGIN_NEW_ARRAY : ORIGIN_NEW,
                          .aligned = alignment,
                          .sized = sized,
                          .size = size};
  if (pointer && heap && origin_is_checked(&heap->options))
    origin_check(&heap->watch, pointer, &giving);
}
