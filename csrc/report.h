/* Reports of misuse: one line on standard error, then abort(3) unless on_error=continue.
 * Async-signal-safe. */
#ifndef PATALLOC_REPORT_H
#define PATALLOC_REPORT_H

#include "heap.h"

/* `call` (free, realloc, malloc_usable_size) was given an address that is no live block of this
 * heap's. Finds out why, from the records, and reports it. */
void report_misuse(struct patalloc_heap *heap, const char *call, const void *pointer);

/* An access (load, store) faulted as the pointer's tag is not the memory's. Ends nothing. */
void report_tag_mismatch(const char *access, uintptr_t pointer);

/* The same, noticed too late to know where. */
void report_late_tag_mismatch(void);

/* One line: "patalloc: " and what is given. */
void report_line(const char *line);

#endif
