/* A trace as what its threads are to do again, for replay.c: made of a reader's events, and laid
 * out in a file that needs no more work. Not thread-safe for one object. */
#ifndef PATALLOC_TRACE_PLAN_H
#define PATALLOC_TRACE_PLAN_H

#include "codec.h"

/* What one thread does, in order. A slot holds the address of a block. */
struct plan_step {
  uint64_t size;
  uint64_t number; /* of the event in the trace */
  uint32_t slot;
  uint32_t turn;  /* how often the slot has been used before that: it waits for it; 0: no need to */
  uint32_t touch; /* which pages are written: its place in `runs`, and that of the next; 0: all */
  uint8_t kind, alignment;
};

struct plan_run {
  uint32_t touch, first, pages;
};

struct plan_head {
  char magic[8];
  uint32_t threads, slots;
  uint64_t touches, runs; /* how many; runs are ordered by their touch */
  uint64_t steps;         /* of all threads; behind this how many each has, then runs, then steps */
};

struct plan;
struct plan *plan_new(void);
void plan_free(struct plan *plan);

/* Adds the reader's next chunk; false where it is not as it should be, or without memory. */
bool plan_chunk(struct plan *plan, struct trace_reader *reader);

/* Writes it all to a descriptor; false with errno. */
bool plan_write(struct plan *plan, int descriptor);

#endif
