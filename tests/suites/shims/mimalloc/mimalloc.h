/* mimalloc's API as far as malloc and its kin express it, for its test-api.c. */
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define mi_malloc         malloc
#define mi_calloc         calloc
#define mi_realloc        realloc
#define mi_reallocarray   reallocarray
#define mi_free           free
#define mi_usable_size    malloc_usable_size
#define mi_posix_memalign posix_memalign
#define mi_memalign       memalign
#define mi_realpath       realpath

#define mi_malloc_aligned(size, alignment) memalign(alignment, size)

/* malloc has no blocks aligned at an offset. */
static inline void *mi_malloc_aligned_at(size_t size, size_t alignment, size_t offset) {
  return offset ? NULL : memalign(alignment, size);
}

/* Zero in all its usable bytes, so that mi_rezalloc_aligned can hand them on. */
static inline void *mi_zalloc_aligned(size_t size, size_t alignment) {
  void *block = memalign(alignment, size);
  return block ? memset(block, 0, malloc_usable_size(block)) : NULL;
}

static inline void *mi_rezalloc_aligned(void *old, size_t size, size_t alignment) {
  void *block = mi_zalloc_aligned(size, alignment);
  size_t usable = malloc_usable_size(old);
  memcpy(block, old, usable < size ? usable : size);
  free(old);
  return block;
}

static inline void *mi_umalloc(size_t size, size_t *usable) {
  void *block = malloc(size);
  *usable = malloc_usable_size(block);
  return block;
}

static inline void *mi_urealloc(void *old, size_t size, size_t *before, size_t *after) {
  *before = malloc_usable_size(old);
  void *block = realloc(old, size);
  *after = malloc_usable_size(block);
  return block;
}

static inline void mi_ufree(void *block, size_t *usable) {
  *usable = malloc_usable_size(block);
  free(block);
}

/* Heaps are all the same one, and what is left in them when they are destroyed leaks. */
typedef int mi_heap_t;
#define mi_heap_new()                                 NULL
#define mi_heap_delete(heap)                          (void)(heap)
#define mi_heap_destroy(heap)                         (void)(heap)
#define mi_heap_malloc_tp(heap, type)                 malloc(sizeof(type))
#define mi_heap_malloc_aligned(heap, size, alignment) memalign(alignment, size)
#define mi_heap_contains_block(heap, block)           ((block) != NULL)
#define mi_option_disable(option)                     (void)0
