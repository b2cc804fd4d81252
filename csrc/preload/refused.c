/* Calls that were refused a buffer (see refused.h). */
#include "preload/refused.h"

#include "pages/chunk.h"
#include "pages/region.h"
#include "preload/interpose.h"
#include "watch/report.h"

#include <errno.h>

bool patalloc_refused(const char *call, bool writes, const void *buffer, size_t size, size_t done) {
  struct patalloc_heap *heap = interposed_heap();
  uintptr_t start = (uintptr_t)buffer;
  struct event event;
  int error = errno;
  if (!heap || !heap->watch.reports || !size) return false;
  if (!region_holds(buffer) && !chunk_holds(start)) return false;
  bool refused = event_of_refusal(&event, call, writes ? "write" : "read", start, size, done);
  if (refused) report_call(&heap->watch, &event);
  errno = error;
  return refused;
}
