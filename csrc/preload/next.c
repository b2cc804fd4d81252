/* Symbols that come after this library in the search order (see next.h). */
#include "preload/next.h"

#include <dlfcn.h>

void *next_symbol(const char *name) {
  return dlsym(RTLD_NEXT, name);
}
