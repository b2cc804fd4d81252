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

static int change(struct patalloc_heap *heap, const char *options, struct text *complaint) {
  struct options wanted = heap->options;
  if (!options_change(&wanted, options, complaint)) return EINVAL;
  if (heap->ready && !content_choose(&heap->contents, wanted.pattern)) return ENOMEM;
  options_change(&heap->options, options, complaint);
  paths_choose_small(heap);
  return 0;
}

RARE int patalloc_configure(patalloc_heap *heap, const char *options, char *complaint,
                            size_t capacity) {
  char scrap[1];
  struct text text = {complaint ? complaint : scrap, complaint ? capacity : 1, 0};
  lock_take(&heap->lock);
  int error = change(heap, options, &text);
  lock_drop(&heap->lock);
  if (!error) large_drain(heap);
  return error ? errno = error, -1 : 0;
}

size_t patalloc_release(patalloc_heap *heap) {
  return heap_release(heap);
}

RARE void patalloc_heap_destroy(patalloc_heap *heap) {
  selection_drop(heap->sites);
  heap_write_stats(heap);
  fork_delist(heap);
  EACH_ARENA(heap, arena) run_release_all(arena);
  content_drop_all(&heap->contents);
  os_unmap(heap, page_up(sizeof *heap));
}
