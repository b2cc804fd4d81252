/* Symbols that come after this library in the search order. */
#ifndef PATALLOC_NEXT_H
#define PATALLOC_NEXT_H

#include <stdbool.h>

void *next_symbol(const char *name); /* NULL for none; dlsym(3)'s safety */

#endif
