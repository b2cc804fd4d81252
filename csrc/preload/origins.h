/* Between the two libraries: what operators.c tells the heap. None of it is for programs. */
#ifndef PATALLOC_ORIGINS_H
#define PATALLOC_ORIGINS_H

#include "base/rare.h"
#include "patalloc.h"

#include <stdbool.h>

/* The program has requested a block by one of C++'s operators, at this alignment or 0; `whole` is
 * whether it has the size that was asked for. And it gives one back, of this size if that is told.
 */
RARE PATALLOC_API void patalloc_requested(const void *pointer, bool array, size_t alignment,
                                          bool whole);
RARE PATALLOC_API void patalloc_given(const void *pointer, bool array, size_t alignment, bool sized,
                                      size_t size);

#endif
