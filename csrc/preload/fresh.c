/* Memory that comes from pools of the program's own: it is marked by the program itself
 * (patalloc_fresh). Any thread; not a signal handler. */
#include "base/rare.h"
#include "heap/careful.h"
#include "patalloc.h"
#include "preload/interpose.h"

RARE void patalloc_process_fresh(void *memory, size_t size) {
  struct patalloc_heap *heap = patalloc_process_heap();
  if (heap && memory && size) careful_renew(heap, memory, size);
}
