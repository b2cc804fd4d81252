/* Traces: what a process asked of malloc, in the order in which it did, as chunks of a file.
 * docs/traces.md describes them. A writer makes them of the events in a process's rings
 * (csrc/watch/ring.h), a reader takes them apart again; both keep for that what is live, in memory
 * of about 30 bytes a block.
 *
 * A block is called by its slot: the number that was given back last is given out first, so that
 * there are as many as blocks were live at a time. No function is thread-safe for one object. */
#ifndef PATALLOC_TRACE_CODEC_H
#define PATALLOC_TRACE_CODEC_H

#include "watch/adopted.h"
#include "watch/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind {
  TRACE_MALLOC = 1,
  TRACE_CALLOC,
  TRACE_ALIGNED,
  TRACE_FREE,
  TRACE_RESIZE,  /* by realloc, which may have moved it */
  TRACE_WRITTEN, /* pages of a block, from 1 MiB on, before it is freed or at the end */
  TRACE_STRANGE, /* a block was freed that the trace has not: from before it began */
  TRACE_MISSED,  /* a block was freed while nothing was recorded, or it could not be */
};

struct trace_event {
  uint32_t kind, thread; /* threads are numbered as they come, from 0 */
  uint64_t time;         /* microseconds from the trace's begin */
  uint64_t size;         /* as requested; of pages how many */
  uint32_t slot;         /* of the block */
  uint32_t stack;        /* number of its call stack; 0: not known */
  uint32_t alignment;    /* log2 of it */
  uint32_t first;        /* of pages the first one in the block */
};

/* Writing */

enum { TRACE_CHUNK = 1 << 16 }; /* events in a chunk at most */

struct trace_writer;

/* NULL without memory. */
struct trace_writer *trace_writer_new(void);
void trace_writer_free(struct trace_writer *writer);

/* Has the events of one more ring, which stays mapped; false without memory. */
bool trace_writer_add(struct trace_writer *writer, void *ring);

/* The time, of the counter that ticks are of; and nanoseconds of CLOCK_MONOTONIC then. */
void trace_clock(uint32_t counter, uint64_t *ticks, uint64_t *nanoseconds);

/* Takes what there is out of the rings, in order, and notes it; a tick is so many nanoseconds, and
 * the trace began then. Up to a chunk; returns how many events, -1 without memory. */
long trace_writer_collect(struct trace_writer *writer, uint32_t counter, uint64_t began,
                          double tick);

/* Notes one event: its kind there, its block's address, and time, size, alignment, thread and
 * stack, the latter two as the process calls them. False without memory. */
bool trace_writer_note(struct trace_writer *writer, enum ring_kind kind, uint64_t address,
                       const struct trace_event *event);

/* How many events were noted since the last chunk. */
size_t trace_writer_pending(const struct trace_writer *writer);

/* The call stacks that these have and no chunk before: their numbers in the process's file. */
size_t trace_writer_stacks(struct trace_writer *writer, uint32_t *numbers, size_t most);

/* Makes a chunk of them: returns its bytes, which are the writer's until the next call. */
size_t trace_writer_chunk(struct trace_writer *writer, const uint8_t **bytes);

/* Of blocks that a process has, those that are live here, too, get the numbers of their call stacks
 * in the trace, and when they were made, in milliseconds from its begin; others 0. */
void trace_writer_tell(const struct trace_writer *writer, struct adopted_block *blocks,
                       size_t count);

/* Sleeps until the bell (ring.h) rings, or so long; it beats meanwhile. */
void trace_sleep(void *bell, unsigned milliseconds);

/* Sleeps while the word is 0, or so long. */
void trace_wait(void *word, unsigned milliseconds);

/* Reading */

struct trace_summary {              /* of a chunk, at its front */
  uint64_t events, first, last;     /* the times of the first and last event */
  uint64_t live_bytes, live_blocks; /* behind it */
  uint64_t peak_bytes, peak_event;  /* the most live bytes in it, and behind which event */
};

struct trace_reader;
struct trace_reader *trace_reader_new(void);
void trace_reader_free(struct trace_reader *reader);

/* Takes the next chunk; false if it is none, and with it the reader is of no more use. The bytes
 * are needed until its events are read. */
bool trace_reader_chunk(struct trace_reader *reader, const uint8_t *bytes, size_t size,
                        struct trace_summary *summary);

/* The next events of it; 0 at its end, -1 where it is not as it should be. */
long trace_reader_events(struct trace_reader *reader, struct trace_event *events, size_t most);

/* Calls `each` for all that are left of it; false where it is not as it should be, or `each` says
 * so. */
typedef bool trace_each(void *context, const struct trace_event *event);
bool trace_reader_each(struct trace_reader *reader, trace_each *each, void *context);

#endif
