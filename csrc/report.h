/* Reports of what went wrong: a line on standard error for whoever has asked for no more; else text
 * with the block and call stacks there, or as JSON to where the option says. Async-signal-safe. */
#ifndef PATALLOC_REPORT_H
#define PATALLOC_REPORT_H

#include "event.h"

/* Reports in full from here on; where to, the first heap says that asks for it. */
void report_start(const struct options *options);

/* Whether that was asked for. */
bool report_is_wanted(void);

/* To be called in a forked child: threads that were reporting are not there. */
void report_restart(void);

/* A fault, which is reported in full. Ends nothing. */
void report_fault(const struct event *event);

/* A misuse of this heap, or corruption in it; then abort(3) unless on_error=continue. */
void report_error(struct patalloc_heap *heap, struct event *event);

/* `call` (free, realloc, malloc_usable_size) was given an address that is no live block of this
 * heap's. */
void report_misuse(struct patalloc_heap *heap, const char *call, const void *pointer);

/* One line: "patalloc: " and what is given. */
void report_line(const char *line);

#endif
