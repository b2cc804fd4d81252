/* The primary: the malloc underneath, which serves small requests. Whoever puts heaps to use hands
 * it down, before the first one is made: the preloaded library the next malloc in the search order,
 * everything else the one that it is linked with. Each function is as its namesake of malloc(3):
 * same semantics, errno and safety. */
#ifndef PATALLOC_PRIMARY_H
#define PATALLOC_PRIMARY_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

struct primary {
  void *(*malloc)(size_t size);
  void *(*calloc)(size_t count, size_t size);
  void *(*realloc)(void *pointer, size_t size);
  void *(*aligned)(size_t alignment, size_t size); /* any power of two */
  void (*free)(void *pointer);
  size_t (*usable_size)(void *pointer);
  bool sized;  /* whether that is of these blocks: an allocator in front of another may have none */
  bool headed; /* whether the size is kept in front of a block, as glibc does */
  /* A large block was freed, which it would have seen without us. Safe where free(3) is. */
  void (*large_freed)(size_t size);
  /* sigaction(2), which the preloaded library stands in front of too. */
  int (*sigaction)(int signal, const struct sigaction *action, struct sigaction *before);
};
extern struct primary primary;

#endif
