/* Deaths: what a signal that ends the process tells, where no block of a heap is the reason. */
#ifndef PATALLOC_DEATH_H
#define PATALLOC_DEATH_H

#include "watch/event.h"
#include "watch/registers.h"

/* Where the C library keeps what abort(3) was called for: of failed assertions, and of what it
 * found of its own (glibc's __abort_msg: a size, then the text). NULL: unknown. */
extern const char *const *death_message;

/* What is to be told of it; `asks` whether /proc may be asked. Async-signal-safe; one thread at a
 * time. */
void event_of_death(struct event *event, const siginfo_t *info, const ucontext_t *context,
                    bool asks);

#endif
