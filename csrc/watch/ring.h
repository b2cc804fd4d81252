/* Rings: what a recorded process asks of malloc, event by event, in memory that it shares with the
 * process that records it, and so leaves behind however it ends. Each thread writes to a ring of
 * its own, which a reader (src/patalloc/traces/codec.c) empties; a thread whose ring is full waits
 * for it.
 *
 * In the directory that the option record names are, for each process that came to be there by
 * exec or fork:
 *   N.control   what is below as struct ring_control; N is the process's number and when it began
 *   N.stacks    its call stacks (watch/stack.c)
 *   N.I         the I-th ring, struct ring
 * and beside these bell, struct ring_bell.
 * The process holds a lock of the first one (flock(2)) for as long as it has it mapped. What
 * changes of this changes RING_VERSION.
 *
 * A child of vfork(2) writes to its parent's rings; of fork(2), however it was made, to its own. */
#ifndef PATALLOC_RING_H
#define PATALLOC_RING_H

#include "base/lock.h"
#include "os/process.h"
#include "watch/stack.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_VERSION = 2, RING_EVENTS = 1 << 14 };

enum ring_kind {
  RING_MALLOC = 1,
  RING_CALLOC,
  RING_ALIGNED,
  RING_FREE,    /* about to be */
  RING_RESIZE,  /* about to be, by realloc: the next event of this thread's tells its new place */
  RING_RESIZED, /* NULL: it failed, or has freed the block (size 0) */
  RING_WRITTEN, /* pages of a block that is about to be freed, or was not when the process ended */
  RING_CLOCK,   /* a thread has the ring from here on, or nothing has come for long */
  RING_WIDE,    /* the size of the event behind this one */
};

/* Two words, so that four lie in a line of the cache: it has to come back from the reader's
 * processor. An event is after its call where that makes a block, and before it where that takes
 * one. The first word:
 *   48 bits of the block's address; of RING_CLOCK the thread's number
 *    4 the kind
 *    5 of RING_ALIGNED the alignment's log2
 * and the second one:
 *   20 bits of the size as requested; all ones: it stands in the event before
 *   20 of the time since the event before, in ticks of RING_TICK of the counter's
 *   24 of the number of the call stack in its file; 0: none
 * but of RING_CLOCK the time itself, of RING_WIDE the size, and of RING_WRITTEN the first page in
 * the block, and above 32 bits how many. */
struct ring_event {
  uint64_t what, more;
};
enum {
  RING_KIND_SHIFT = 48,
  RING_ALIGNMENT_SHIFT = 52,
  RING_TIME_SHIFT = 20,
  RING_STACK_SHIFT = 40,
  RING_SIZE_WIDE = (1 << 20) - 1,
  RING_TIME_MOST = (1 << 20) - 1,
  RING_STACK_MOST = (1 << 24) - 1,
  RING_TICK_SHIFT = 4
};
#define RING_ADDRESS_MOST ((UINT64_C(1) << 48) - 1)

/* `written` and `read` count events since the ring was made. */
struct ring {
  _Atomic uint64_t written;
  _Atomic uint32_t taken; /* else the next thread may have it */
  char unused[52];
  _Atomic uint64_t read; /* the reader's */
  char unused_too[56];
  struct ring_event events[RING_EVENTS];
};

struct ring_control {
  char magic[8];
  uint32_t version, process, parent;
  uint32_t counter;           /* what ticks are of: enum ring_counter */
  uint64_t began;             /* in the ticks of events */
  _Atomic uint32_t rings;     /* how many files there are */
  _Atomic uint32_t lost;      /* threads that have none, as it could not be made */
  _Atomic uint32_t on;        /* whether events are written; any process may change it */
  _Atomic uint32_t ended;     /* whether the process has reached its end */
  _Atomic uint32_t abandoned; /* it was not emptied for long: nothing is written any more */
  uint32_t stackless;         /* there is no file of stacks */
  _Atomic uint32_t stopped;   /* the reader wants no more: it is not to be switched on again */
  _Atomic uint32_t looking;   /* somebody looks at the heap, and wants to at its end */
  _Atomic uint32_t looked;    /* has done so */
  uint32_t page_shift;
  uint32_t command_length; /* as in /proc/PID/cmdline (proc(5)), as far as it fits */
  char command[2048];
};
enum ring_counter { RING_NANOSECONDS, RING_PROCESSOR };

/* Of all processes. */
struct ring_bell {
  _Atomic uint32_t rung; /* the reader sleeps while it is 0 (futex(2)) */
  uint32_t off;          /* whether processes begin with recording switched off */
  uint32_t recorder;     /* a process whose children, by their parent, wait at their end until
                            they were looked at, or some time */
  _Atomic uint32_t beat; /* another one every few milliseconds, as long as there is a reader */
};

/* Makes the process's files in the directory. False with errno where that can't be. Once. */
bool ring_start(const char *directory);

/* Switches recording on and off; whether it was on. */
bool ring_switch(bool on);

/* Whose rings these are; 0: nothing is recorded. */
uint32_t ring_process(void);

/* The process is about to end; more may come. Waits to be looked at, where that is wanted. */
void ring_end(void);

/* A thread's ring, and how far it may write to it without asking the reader again. */
struct ring_writer {
  struct ring *ring;
  struct ring_control *control;  /* it is a ring of that */
  struct stack_memory *stacks;   /* for stack_take_near; NULL: none are taken */
  uint64_t limit, time;          /* of the last event, in the ticks of events */
  const _Atomic uint32_t *beats; /* ring_bell's */
  uint32_t thread, calls, beat;
};
extern _Thread_local struct ring_writer ring_mine __attribute__((tls_model("initial-exec")));

/* What a child is not to take for its own lies in a page that it finds empty. NULL: nothing is
 * recorded. */
extern struct ring_own { struct ring_control *control; } * ring_own;

extern enum ring_counter ring_counter;

/* The clock's, not before what comes before it is done: a processor would ask for it while it waits
 * for what another one has written, and see the time before that. */
static inline uint64_t ring_ticks(void) {
#if defined __x86_64__
  unsigned processor;
  if (ring_counter == RING_PROCESSOR) return __builtin_ia32_rdtscp(&processor);
#elif defined __aarch64__
  uint64_t now;
  __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(now) : : "memory");
  if (ring_counter == RING_PROCESSOR) return now;
#endif
  return os_nanoseconds();
}

/* See ring_enter. */
bool ring_enter_slowly(void);

/* Whether there is a place for an event of this thread. Keeps errno. Not async-signal-safe. */
static inline bool ring_enter(void) {
  const struct ring_writer *mine = &ring_mine;
  const struct ring_control *control = ring_own ? ring_own->control : NULL;
  bool plain = control && control == mine->control && mine->ring &&
               atomic_load_explicit(&control->on, memory_order_relaxed) &&
               atomic_load_explicit(&mine->ring->written, memory_order_relaxed) < mine->limit;
  return __builtin_expect(plain, true) || ring_enter_slowly();
}

/* The reader has had these lines: to get them back takes longer than all else here. */
static inline void ring_expect(struct ring_event *event) {
#ifdef __x86_64__
  __asm__ volatile("prefetchw %0" : : "m"(*event));
#else
  __builtin_prefetch(event, 1);
#endif
}

/* Wakes the reader. */
void ring_bell(void);

/* Writes an event there, and up to two in front of it. */
static inline void ring_put(uint64_t what, uint64_t more) {
  enum { AHEAD = 32 };
  struct ring *ring = ring_mine.ring;
  uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
  ring_expect(&ring->events[(written + AHEAD) % RING_EVENTS]);
  ring->events[written % RING_EVENTS] = (struct ring_event){what, more};
  atomic_store_explicit(&ring->written, written + 1, memory_order_release);
  if (__builtin_expect(written % (RING_EVENTS / 4) == 0, false)) ring_bell();
}

/* What a plain event has no room for. */
void ring_put_clock(uint64_t time);
void ring_put_wide(uint64_t size);

/* An event of this thread, now; `kind` with the alignment above it. To ask for the time takes as
 * long as all else here: where there is one thread, whose events are in order anyway, one event in
 * some does so, what takes longer by itself, and the first one after the reader's next beat. */
static inline void ring_note(uint64_t kind, uint64_t address, uint64_t size, uint32_t stack) {
  enum { CLOCKLESS = 8, LARGE = 1 << 16 };
  uint32_t beat = atomic_load_explicit(ring_mine.beats, memory_order_relaxed);
  bool alone = SINGLE_THREADED && size < LARGE && beat == ring_mine.beat;
  alone = alone && ring_mine.calls++ % CLOCKLESS;
  ring_mine.beat = beat;
  uint64_t time = alone ? ring_mine.time : ring_ticks() >> RING_TICK_SHIFT;
  uint64_t since = time - ring_mine.time;
  if (__builtin_expect(since > RING_TIME_MOST, false)) ring_put_clock(time), since = 0;
  if (__builtin_expect(size >= RING_SIZE_WIDE, false)) ring_put_wide(size), size = RING_SIZE_WIDE;
  ring_mine.time = time;
  if (stack > RING_STACK_MOST) stack = 0;
  ring_put((address & RING_ADDRESS_MOST) | kind << RING_KIND_SHIFT,
           size | since << RING_TIME_SHIFT | (uint64_t)stack << RING_STACK_SHIFT);
}

#endif
