/* Notes: what a program says that it is at (patalloc_note: a test, a request), and which lines of
 * an interpreter's led to an allocation or a free. Such a pair is kept once, and has a number,
 * which stays with a moment (base/moment.h) and tells it in reports.
 *
 * Any thread; nothing waits. note_find is async-signal-safe. */
#ifndef PATALLOC_NOTE_H
#define PATALLOC_NOTE_H

#include <stddef.h>
#include <stdint.h>

struct note {
  const char *said, *lines; /* empty: none */
};

/* The calling thread is at this from now on; said by the first thread of the process it holds for
 * those that say nothing, too. NULL: at nothing. */
void note_say(const char *said);

/* The number of what the calling thread is at; 0 for nothing. */
uint32_t note_now(void);

/* The number of such lines alone; and that of what the thread is at with those. 0 where there is no
 * more room. */
uint32_t note_lines(const char *lines);
uint32_t note_with_lines(uint32_t lines);

/* Has note_now be this for the calling thread, until it is 0 again. */
void note_override(uint32_t number);

/* Empty for 0. */
struct note note_find(uint32_t number);

/* The lines that the calling thread's interpreter is at now: what `function`, given `argument`,
 * writes to the descriptor (its end is read, and does not block). It is called for each report, as
 * a signal handler is. NULL: there is none. */
void note_lines_from(void (*function)(int), int argument, int descriptor);

/* Those of them that name a place (as faulthandler's "  File ..."), the first eight, NUL-ended;
 * empty for none. Async-signal-safe. */
void note_read_lines(char *lines, size_t capacity);

#endif
