/* Reference pages as descriptors, for whoever wants no heap (see patalloc.h): on stock kernels
 * sealed files of the length of one stage. */
#include "os/files.h"
#include "os/init.h"
#include "os/limits.h"
#include "os/memory.h"
#include "pages/refpage.h"
#include "patalloc.h"

#include <errno.h>
#include <string.h>

enum { PUBLIC_STAGE = 2 };

int patalloc_refpage_create(const void *content, unsigned size, unsigned long flags) {
  os_init();
  if (flags || !size || size & (size - 1) || size > os_page || (uintptr_t)content & (size - 1))
    return errno = EINVAL, -1;
  if (refpage_span(PUBLIC_STAGE) > os_file_size_limit()) return errno = EFBIG, -1;
  int descriptor = os_memfd("refpage");
  if (descriptor < 0) return -1;
  /* The kernel reads the content, so that a bad address is EFAULT and not a fault. */
  char page[os_page];
  size_t span = refpage_span(PUBLIC_STAGE);
  bool made = os_write_at(descriptor, content, size, 0);
  if (made) {
    for (size_t at = 0; at < os_page; at += size) memcpy(page + at, content, size);
    made = os_fill(descriptor, page, span) && os_seal(descriptor);
  }
  if (made) return os_read_only(descriptor);
  int error = errno == ENOSPC ? ENOMEM : errno;
  os_close(descriptor);
  errno = error;
  return -1;
}

void *patalloc_refpage_map(int descriptor, size_t length) {
  struct os_identity identity;
  size_t span = 0;
  os_init();
  if (!os_identify(descriptor, &identity, &span)) return NULL;
  size_t size = page_up(length);
  if (!length || size < length || span < os_page || span & (os_page - 1))
    return errno = EINVAL, NULL;
  char *address = os_reserve(size);
  if (!address) return NULL;
  for (size_t at = 0; at < size; at += span) {
    size_t piece = size - at < span ? size - at : span;
    if (os_map_private((uintptr_t)address + at, piece, descriptor, 0, false)) continue;
    int error = errno;
    os_unmap(address, size);
    return errno = error, NULL;
  }
  return address;
}
