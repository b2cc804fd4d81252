/* Calls that were refused a buffer (see refused.h). */
#include "preload/refused.h"

#include "pages/chunk.h"
#include "pages/region.h"
#include "preload/interpose.h"
#include "watch/recover.h"
#include "watch/report.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

bool patalloc_refused(const char *call, bool writes, const void *buffer, size_t size, size_t done) {
  struct patalloc_heap *heap = interposed_heap();
  uintptr_t start = (uintptr_t)buffer;
  struct event event;
  int error = errno;
  if (!heap || !heap->watch.reports || !size) return false; /* with reports faults are handled */
  if (!region_holds(buffer) && !chunk_holds(start)) return false;
  bool refused = event_of_refusal(&event, call, writes ? "write" : "read", start, size, done);
  if (refused) report_call(&heap->watch, &event);
  errno = error;
  return refused;
}

struct refusal {
  const char *call;
  bool writes;
  const void *given;
  size_t count;
};

static void look_into_vector(void *refused) {
  const struct refusal *refusal = refused;
  const struct iovec *buffers = refusal->given;
  for (size_t i = 0; i < refusal->count; i++)
    if (patalloc_refused(refusal->call, refusal->writes, buffers[i].iov_base, buffers[i].iov_len,
                         0))
      return;
}

void patalloc_refused_vector(const char *call, bool writes, const void *vector, size_t count) {
  struct refusal refusal = {call, writes, vector, count};
  int error = errno;
  if (!patalloc_refused(call, false, vector, count * sizeof(struct iovec), 0))
    recover_try(look_into_vector, &refusal);
  errno = error;
}

static void look_into_message(void *refused) {
  const struct refusal *refusal = refused;
  const struct msghdr *message = refusal->given;
  patalloc_refused_vector(refusal->call, refusal->writes, message->msg_iov, message->msg_iovlen);
}

void patalloc_refused_message(const char *call, bool writes, const void *message) {
  struct refusal refusal = {call, writes, message, 1};
  int error = errno;
  if (!patalloc_refused(call, false, message, sizeof(struct msghdr), 0))
    recover_try(look_into_message, &refusal);
  errno = error;
}
