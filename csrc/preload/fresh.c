/* Memory that comes from pools of the program's own: it is marked by the program itself
 * (patalloc_fresh); NumPy, whose pool keeps small data, is told to have none by these functions
 * (src/patalloc/hunt/site). Any thread; not a signal handler. */
#include "base/rare.h"
#include "heap/careful.h"
#include "patalloc.h"
#include "preload/interpose.h"

#include <stdlib.h>

RARE void patalloc_process_fresh(void *memory, size_t size) {
  struct patalloc_heap *heap = patalloc_process_heap();
  if (heap && memory && size) careful_renew(heap, memory, size);
}

/* As the allocator of a PyDataMem_Handler (NumPy's C API, NEP 49) has them. */

PATALLOC_API RARE void *patalloc_numpy_malloc(void *context, size_t size) {
  (void)context;
  return malloc(size);
}

PATALLOC_API RARE void *patalloc_numpy_calloc(void *context, size_t count, size_t size) {
  (void)context;
  return calloc(count, size);
}

PATALLOC_API RARE void *patalloc_numpy_realloc(void *context, void *pointer, size_t size) {
  (void)context;
  return realloc(pointer, size);
}

PATALLOC_API RARE void patalloc_numpy_free(void *context, void *pointer, size_t size) {
  (void)context, (void)size;
  free(pointer);
}
