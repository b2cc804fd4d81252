/* What is mapped at an address, and what is nearest below and above it: of /proc/self/maps
 * (proc(5)). Async-signal-safe. */
#ifndef PATALLOC_SURROUNDINGS_H
#define PATALLOC_SURROUNDINGS_H

#include <stdbool.h>
#include <stdint.h>

struct mapping {
  uintptr_t start, end; /* both 0: there is none */
  char permissions[5];  /* rwxp */
  char name[256];       /* a path, or [heap] and so on; empty for memory alone */
};

struct surroundings {
  struct mapping at, below, above;
};

/* False where that can't be told. One thread at a time. */
bool surroundings_find(struct surroundings *found, uintptr_t address);

#endif
