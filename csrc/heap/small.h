/* Small requests: the primary's memory, filled with the pattern by stores. */
#ifndef PATALLOC_SMALL_H
#define PATALLOC_SMALL_H

#include "heap/heap.h"
#include "heap/primary.h"

extern const struct small_path small_plain;

/* Lets go of what is idle, for a request that the primary had no memory for; false with ENOMEM
 * where nothing is. */
RARE bool small_again(struct patalloc_heap *heap);

/* Of the primary, which is asked again then. */
static inline void *small_malloc(struct patalloc_heap *heap, size_t size) {
  void *pointer = primary.malloc(size);
  bool again = __builtin_expect(!pointer, false) && small_again(heap);
  return again ? primary.malloc(size) : pointer;
}
static inline void *small_calloc(struct patalloc_heap *heap, size_t size) {
  void *pointer = primary.calloc(1, size);
  bool again = __builtin_expect(!pointer, false) && small_again(heap);
  return again ? primary.calloc(1, size) : pointer;
}
static inline void *small_aligned(struct patalloc_heap *heap, size_t alignment, size_t size) {
  void *pointer = primary.aligned(alignment, size);
  bool again = __builtin_expect(!pointer, false) && small_again(heap);
  return again ? primary.aligned(alignment, size) : pointer;
}

/* realloc of a path whose blocks always move: `have` bytes are kept. Size 0 frees, as with glibc.
 */
void *small_move(struct patalloc_heap *heap, const struct small_path *path, void *pointer,
                 size_t have, size_t size);

/* The same as heap->uncounted, with count=yes. */
extern const struct small_path small_counted;

#endif
