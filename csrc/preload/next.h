/* What comes after this library in the search order: other symbols of the names that it defines. */
#ifndef PATALLOC_NEXT_H
#define PATALLOC_NEXT_H

#include "heap/primary.h"

#include <signal.h>
#include <stdbool.h>

void *next_symbol(const char *name); /* NULL for none; dlsym(3)'s safety */

/* The next malloc and its kin, also before next_symbol has answered: a primary (heap/primary.h).
 * And once it has, which it is asked to here, without what is needed before. */
extern const struct primary next_primary;
struct primary next_found(void);

/* The next sigaction(2). */
int next_sigaction(int signal, const struct sigaction *action, struct sigaction *before);

/* Tells the next malloc that a large block was freed (threshold.c). */
void next_large_freed(size_t size);

#endif
