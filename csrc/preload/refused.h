/* Between the two libraries: what calls.c tells the heap. Not for programs. */
#ifndef PATALLOC_REFUSED_H
#define PATALLOC_REFUSED_H

#include "base/rare.h"
#include "patalloc.h"

#include <stdbool.h>

/* A call has failed with EFAULT that was to write to these bytes, or to read them; or has done so
 * with a part of them only. Reports that, and returns true, if a guard or a freed block is the
 * reason. Keeps errno. Async-signal-safe. */
RARE PATALLOC_API bool patalloc_refused(const char *call, bool writes, const void *buffer,
                                        size_t size, size_t done);

/* The same of an array of buffers (struct iovec), and of a message (struct msghdr), which may be
 * the reason themselves, and can't be read then. */
RARE PATALLOC_API void patalloc_refused_vector(const char *call, bool writes, const void *vector,
                                               size_t count);
RARE PATALLOC_API void patalloc_refused_message(const char *call, bool writes, const void *message);

#endif
