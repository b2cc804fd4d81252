/* The primary: the malloc underneath, which serves small requests. The preloaded library has the
 * next malloc in the search order (preload/primary.c), everything else the one it is linked with
 * (underneath_libc.c). Same semantics, errno and safety as the functions of malloc(3). */
#ifndef PATALLOC_PRIMARY_H
#define PATALLOC_PRIMARY_H

#include <stddef.h>

void *primary_malloc(size_t size);
void *primary_calloc(size_t count, size_t size);
void *primary_realloc(void *pointer, size_t size);
void *primary_aligned(size_t alignment, size_t size); /* any power of two */
void primary_free(void *pointer);
size_t primary_usable_size(void *pointer);

/* Tells the primary that a large block was freed, which it would have seen without us. Safe where
 * free(3) is. */
void primary_large_freed(size_t size);

#endif
