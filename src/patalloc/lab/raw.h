/* Allocations in a loop, for experiments that measure an allocator and not the language that they
 * are written in: src/patalloc/raw.py. Not async-signal-safe; any thread. */
#ifndef PATALLOC_RAW_H
#define PATALLOC_RAW_H

#include <stddef.h>
#include <stdint.h>

struct raw_plan {
  void *(*take)(void *heap, size_t size); /* NULL: malloc */
  void (*give)(void *heap, void *block);
  void *heap;
  const size_t *sizes; /* of blocks, one of them each by chance */
  size_t sizes_count;
  size_t live;    /* blocks of a thread at a time: so many are taken, written, given back */
  size_t batches; /* how often */
  double density; /* of a block's pages, how many are written: evenly spread, from the first on */
  unsigned threads;
  uint64_t seed;
};

/* Nanoseconds of all threads together, but for `wall`. */
struct raw_times {
  uint64_t wall, take, touch, give;
  uint64_t blocks, bytes, pages;
};

/* 0, or an error number: ENOMEM, or pthread_create(3)'s. */
int raw_run(const struct raw_plan *plan, struct raw_times *times);

#endif
