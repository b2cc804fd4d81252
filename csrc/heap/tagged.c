/* Large requests where machines have memory tags (see tagged.h). */
#include "heap/tagged.h"

#include "blocks/tag.h"
#include "heap/large.h"
#include "heap/realloc.h"

#include <errno.h>

static bool ignore_tags(const struct patalloc_heap *heap) {
  int error = errno;
  tag_check_thread(&heap->options);
  errno = error;
  return mte_ignore(true);
}

void *tagged_allocate(struct patalloc_heap *heap, const struct request *request) {
  bool before = ignore_tags(heap);
  void *pointer = large_allocate(heap, request);
  mte_ignore(before);
  return pointer;
}

void tagged_free(struct patalloc_heap *heap, void *pointer) {
  bool before = ignore_tags(heap);
  large_free(heap, pointer);
  mte_ignore(before);
}

void *tagged_realloc(struct patalloc_heap *heap, void *pointer, size_t size) {
  bool before = ignore_tags(heap);
  void *moved = realloc_large(heap, pointer, size);
  mte_ignore(before);
  return moved;
}
