/* Reports of what went wrong: a line on standard error for whoever has asked for no more; else text
 * with the block and call stacks there, or as JSON to where the option says. Async-signal-safe. */
#ifndef PATALLOC_REPORT_H
#define PATALLOC_REPORT_H

#include "watch/event.h"
#include "watch/watch.h"

/* Reports in full from here on; where to, the first heap says that asks for it. */
void report_start(const struct options *options);

/* Before that: which descriptor is standard error, where what has its number is another file. */
void report_to(int descriptor);

/* In the child of a fork: standard error is what it is there, as a service that leaves its parent
 * must not keep that open. */
RARE void report_forked(void);

/* The last one, as text. */
extern char report_said[1 << 15];

/* Whether that was asked for. */
bool report_is_wanted(void);

/* Whether /proc may be asked. */
bool report_may_ask(void);

/* Whether the process is ended by abort(3) because of what was reported. */
bool report_said_last(void);

/* One thread of a process reports at a time, and has all of this floor that is static: waits for
 * that. False where this thread is reporting already, as its report faults or a handler of the
 * program's has interrupted it. In a child of fork(2) its parent's threads don't count. */
bool report_begin(void);
bool report_begin_now(void); /* without waiting: false also where another thread reports */
void report_end(void);

/* A fault in a line, also where report_begin was false. Ends nothing. */
void report_in_a_line(const struct event *event);

/* A fault; between report_begin and report_end. Ends nothing. */
void report_fault(const struct event *event);

/* The process ends by exit(3): where an error ends it before that is through, what waits for
 * standard output is written first. */
RARE void report_ending(void);

/* A misuse of this heap, or corruption in it; then abort(3) unless on_error=continue. In a thread
 * that is reporting already no more than a line. */
void report_error(const struct watch *watch, struct event *event);

/* A call that failed because of what it was given: the process goes on. Async-signal-safe. */
RARE void report_call(const struct watch *watch, struct event *event);

/* Blocks that nobody has freed; these do not count among a process's reports, of which there are
 * only so many. */
RARE void report_leak(const struct watch *watch, const struct event *event);

/* The two parts of that, for what is found where nobody's call has led to it. */
RARE void report_found(const struct watch *watch, const struct event *event);
RARE void report_stop(const struct watch *watch);

/* What looks for more that is wrong, when a report is likely to be the last: for what `call` is
 * said to have found it, and what each is to be given to. Async-signal-safe. */
typedef void report_tell(const struct event *event);
typedef void report_look(const char *call, report_tell *tell);
extern report_look *_Atomic report_last_look; /* NULL: nothing does, or it has */

/* `call` (free, realloc, malloc_usable_size) was given an address that is no live block of this
 * heap's. */
void report_misuse(const struct watch *watch, const char *call, const void *pointer);

/* One line: "patalloc: " and what is given. */
void report_line(const char *line);

#endif
