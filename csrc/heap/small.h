/* Small requests: the primary's memory, filled with the pattern by stores. */
#ifndef PATALLOC_SMALL_H
#define PATALLOC_SMALL_H

#include "heap/heap.h"

extern const struct small_path small_plain;

/* The same as heap->uncounted, with count=yes. */
extern const struct small_path small_counted;

#endif
