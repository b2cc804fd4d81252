/* When a block was allocated or freed, by whom, and from where. */
#ifndef PATALLOC_MOMENT_H
#define PATALLOC_MOMENT_H

#include <stdint.h>

struct moment {
  uint32_t stack;  /* its number; 0: not taken */
  uint32_t thread; /* 0: has not been */
  uint32_t time;   /* os_milliseconds */
  uint32_t note;   /* of what the thread was at (watch/note.h) */
};

#endif
