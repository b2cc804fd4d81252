/* Programs that sandbox themselves (see sandbox.h). */
#include "heap/sandbox.h"

#include "os/limits.h"
#include "os/sandbox.h"
#include "patalloc.h"

#include <errno.h>

void heap_enter_sandbox(struct patalloc_heap *heap) {
  int error = errno;
  if (os_is_sandboxed()) return;
  size_t large = heap->options.threshold;
  patalloc_free(heap, patalloc_malloc(heap, large));
  patalloc_free(heap, patalloc_calloc(heap, 1, large));
  if (heap->ready && heap->contents.now->refpage) refpage_prepare(heap->contents.now->refpage);
  os_file_size_limit(); /* and remember it */
  os_enter_sandbox();
  errno = error;
}
