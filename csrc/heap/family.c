/* malloc and its kin on a heap (see patalloc.h): whether a request is small or large, and the path
 * that the heap has for it. What is rare is out of line, so that the rest needs no registers saved.
 */
#include "heap/fork.h"
#include "heap/large.h"
#include "heap/realloc.h"
#include "patalloc.h"

#include <errno.h>

static void *allocate_large(struct patalloc_heap *heap, struct request request) {
  return heap->large->allocate(heap, &request);
}

void *patalloc_malloc(patalloc_heap *heap, size_t size) {
  if (heap_is_large(heap, size)) return allocate_large(heap, (struct request){.size = size});
  return heap->small->malloc(heap, size);
}

void *patalloc_calloc(patalloc_heap *heap, size_t count, size_t size) {
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) return errno = ENOMEM, NULL;
  if (heap_is_large(heap, total))
    return allocate_large(heap, (struct request){.size = total, .content = HOLDS_ZEROS});
  return heap->small->calloc(heap, total);
}

void *patalloc_aligned_alloc(patalloc_heap *heap, size_t alignment, size_t size) {
  if (!alignment || alignment & (alignment - 1)) return errno = EINVAL, NULL;
  /* A small one at a large alignment, too: the primary's would be filled to where the next could
   * be. */
  if (heap_is_large(heap, size) || heap_is_large(heap, alignment))
    return allocate_large(
        heap, (struct request){.size = size + !size, .alignment = alignment < 16 ? 0 : alignment});
  return heap->small->aligned(heap, alignment, size);
}

static inline void free_any(struct patalloc_heap *heap, void *pointer) {
  if (region_holds(pointer)) return heap->large->free(heap, pointer);
  heap->small->free(heap, pointer);
}

/* Memory that is idle is let go of by the frees that come after, small ones too. */
__attribute__((noinline)) static void free_and_tick(struct patalloc_heap *heap, void *pointer) {
  int error = errno;
  if (heap->ready) fork_expect();
  heap_tick(heap);
  errno = error;
  free_any(heap, pointer);
}

void patalloc_free(patalloc_heap *heap, void *pointer) {
  enum { FREES_A_TICK = 256 };
  static _Thread_local unsigned frees __attribute__((tls_model("initial-exec")));
  if (++frees % FREES_A_TICK == 0) return free_and_tick(heap, pointer);
  free_any(heap, pointer);
}

void *patalloc_realloc(patalloc_heap *heap, void *pointer, size_t size) {
  if (!pointer) return patalloc_malloc(heap, size);
  if (region_holds(pointer)) return heap->large->realloc(heap, pointer, size);
  return realloc_small(heap, pointer, size);
}

RARE size_t patalloc_usable_size(patalloc_heap *heap, void *pointer) {
  if (!pointer) return 0;
  size_t usable = region_holds(pointer)
                      ? large_usable_size(heap, pointer)
                      : heap->small->usable_size(heap, "malloc_usable_size", pointer);
  return usable == USABLE_NONE ? 0 : usable;
}
