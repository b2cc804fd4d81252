/* Heaps: start, end, and changes in between (see patalloc.h). */
#include "heap/facts.h"
#include "heap/fork.h"
#include "heap/large.h"
#include "heap/paths.h"
#include "heap/sandbox.h"
#include "os/init.h"
#include "os/memory.h"
#include "patalloc.h"
#include "watch/selection.h"

#include <errno.h>

RARE patalloc_heap *patalloc_heap_create(const char *options, char *complaint, size_t capacity) {
  char scrap[1];
  struct text text = {complaint ? complaint : scrap, complaint ? capacity : 1, 0};
  os_init();
  patalloc_heap *heap = os_map(page_up(sizeof *heap));
  if (!heap) return NULL;
  options_default(&heap->options);
  if (!options_parse(&heap->options, options ? options : "", &text)) {
    os_unmap(heap, page_up(sizeof *heap));
    return errno = EINVAL, NULL;
  }
  paths_start(heap);
  fork_handle();
  if (heap->options.sandbox) heap_enter_sandbox(heap);
  return heap;
}

RARE int patalloc_configure(patalloc_heap *heap, const char *options, char *complaint,
                            size_t capacity) {
  char scrap[1];
  struct text text = {complaint ? complaint : scrap, complaint ? capacity : 1, 0};
  lock_take(&heap->lock);
  bool good = options_change(&heap->options, options, &text);
  if (good) paths_choose_small(heap);
  lock_drop(&heap->lock);
  if (good) large_drain(heap);
  return good ? 0 : (errno = EINVAL, -1);
}

size_t patalloc_release(patalloc_heap *heap) {
  return heap_release(heap);
}

RARE void patalloc_heap_destroy(patalloc_heap *heap) {
  selection_drop(heap->sites);
  heap_write_stats(heap);
  fork_delist(heap);
  EACH_ARENA(heap, arena) run_release_all(arena);
  if (heap->shards) os_unmap(heap->shards, shards_size());
  os_unmap(heap, page_up(sizeof *heap));
}
