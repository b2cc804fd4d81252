/* Selections: allocations that are chosen by their call stacks, and of a stack by their number, or
 * parts of them by offsets. A file that src/patalloc/hunt/selection.py writes: a header, and parts
 * in order of stack and number, those of any stack first. */
#ifndef PATALLOC_SELECTION_H
#define PATALLOC_SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PART_STALE = 255 };

struct part {
  uint64_t stack, first, last; /* of which allocations: of this identity, from the how many-th on */
  uint64_t from, to;           /* offsets; UINT64_MAX: to the end */
  uint64_t word;               /* the pattern that they are to hold, or a code's salt (code.h) */
  uint64_t pattern_size;       /* 0: that code; PART_STALE: what is there */
};

enum {
  SELECTION_MAPPINGS = 1,     /* they are written at the end (mappings.h) */
  SELECTION_LEAVES_FREED = 2, /* freed blocks are left as they are, and handed out again */
  SELECTION_SERVES = 4,       /* the first allocation that it is for is where others go on */
};

struct selection {
  char magic[8];
  uint64_t salt;   /* of the code that the residue is of; 0: none is recorded */
  uint32_t frames; /* of the stacks, at most; 0: as the trace of a hunt has them */
  uint32_t flags;
  uint64_t stop_stack, stop_number; /* the allocation to stop at; 0: none */
  uint64_t count;
  struct part parts[];
};

struct choice {
  const struct part *parts;
  size_t count;
};

/* A copy of what is there, sound, so that nothing else is checked later. NULL with errno: EINVAL
 * where it is no selection. */
const struct selection *selection_read(const char *path);
void selection_drop(const struct selection *selection); /* or NULL */

/* The parts of that allocation. */
struct choice selection_find(const struct selection *selection, uint64_t stack, uint64_t number);

#endif
