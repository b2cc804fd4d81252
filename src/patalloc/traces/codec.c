/* Writing and reading chunks of traces (see codec.h).
 *
 * A chunk is a summary, the lengths of its columns, and these, one behind the other, numbers as
 * LEB128: so alike stands beside alike, which is what a compressor wants. What is as it was
 * expected to be is 0: the stack that followed this one last time on this thread; the size that was
 * last asked for from there. */
#include "codec.h"

#include "table.h"
#include "watch/ring.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum column {
  KINDS,      /* a byte an event, with CHANGES where another thread goes on */
  THREADS,    /* of these its number */
  TIMES,      /* since the event before */
  SIZES,      /* 0: as expected; or one more than it */
  SLOTS,      /* of what takes or resizes a block, from the last slot (zigzag) */
  STACKS,     /* 0: as expected; or one more than its number */
  ALIGNMENTS, /* log2 */
  PAGES,      /* first, count */
  COLUMNS
};
enum { CHANGES = 16 };

struct head {
  struct trace_summary summary;
  uint32_t lengths[COLUMNS], magic;
};
enum { MAGIC = 0x74617031 };

/* What is known on both sides: it follows from the events. */
struct state {
  struct list free;             /* slots that were given back */
  uint32_t slots;               /* that were ever given out */
  struct list next, size, last; /* by stack: the one behind it, and the last size; by thread its
                                   last stack */
  struct list low, high;        /* by slot: the size of its block, in two halves */
  uint32_t thread, slot;        /* of the last event */
  uint64_t time, blocks, bytes; /* live */
};

static uint64_t size_of(const struct state *state, uint32_t slot) {
  return state->low.data[slot] | (uint64_t)state->high.data[slot] << 32;
}

static void set_size(struct state *state, uint32_t slot, uint64_t size) {
  state->low.data[slot] = (uint32_t)size;
  state->high.data[slot] = (uint32_t)(size >> 32);
}

static bool give_slot(struct state *state, uint64_t size, uint32_t *slot) {
  *slot = state->free.used ? state->free.data[--state->free.used] : state->slots++;
  if (!list_reach(&state->low, *slot) || !list_reach(&state->high, *slot)) return false;
  set_size(state, *slot, size);
  state->blocks++;
  state->bytes += size;
  return true;
}

static bool take_slot(struct state *state, uint32_t slot) {
  state->blocks--;
  state->bytes -= size_of(state, slot);
  return list_add(&state->free, slot);
}

static void resize_slot(struct state *state, uint32_t slot, uint64_t size) {
  state->bytes += size - size_of(state, slot);
  set_size(state, slot, size);
}

/* The stack that is expected on this thread; then what came. */
static bool expect_stack(struct state *state, uint32_t *expected) {
  if (!list_reach(&state->last, state->thread)) return false;
  uint32_t last = state->last.data[state->thread];
  if (!list_reach(&state->next, last)) return false;
  *expected = state->next.data[last];
  return true;
}

static bool learn_stack(struct state *state, uint32_t stack) {
  if (!list_reach(&state->next, stack) || !list_reach(&state->size, stack)) return false;
  state->next.data[state->last.data[state->thread]] = stack;
  state->last.data[state->thread] = stack;
  return true;
}

/* What is too long to be expected is never so: 0. */
static void learn_size(struct state *state, uint32_t stack, uint64_t size) {
  state->size.data[stack] = size < UINT32_MAX ? (uint32_t)size + 1 : 0;
}

static void drop_state(struct state *state) {
  struct list *lists[] = {&state->free, &state->next, &state->size,
                          &state->last, &state->low,  &state->high};
  for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++) free(lists[i]->data);
}

/* Writing */

/* A ring, and how far it is read. */
struct source {
  struct ring *ring;
  uint64_t at, end;
  uint64_t time; /* of the event before, in the ticks of events */
  uint64_t wide; /* the size of the event at `at`, if that stood before it */
  uint32_t thread;
};

/* What realloc is at: the block's address before, and one more than its slot; 0: it is strange. */
struct resizing {
  uint64_t address;
  uint32_t slot;
};

struct trace_writer {
  struct state state;
  struct map live;            /* slots, one more than they, by address */
  struct map threads, stacks; /* their numbers, one more, by those of the process */
  struct resizing *resizing;  /* by thread */
  size_t resizing_used;
  struct list stack,
      made;         /* by slot: of its block, and when it was made, in milliseconds, from 1 */
  struct list news; /* stacks' numbers in the process, as they came */
  size_t told;      /* of these how many are in chunks */
  struct bytes columns[COLUMNS], chunk;
  struct trace_summary summary;
  struct source *sources;
  size_t sources_used;
};

struct trace_writer *trace_writer_new(void) {
  return calloc(1, sizeof(struct trace_writer));
}

void trace_writer_free(struct trace_writer *writer) {
  drop_state(&writer->state);
  map_drop(&writer->live);
  map_drop(&writer->threads);
  map_drop(&writer->stacks);
  free(writer->news.data);
  free(writer->stack.data);
  free(writer->made.data);
  for (int i = 0; i < COLUMNS; i++) free(writer->columns[i].data);
  free(writer->chunk.data);
  free(writer->resizing);
  free(writer->sources);
  free(writer);
}

static bool number_of(struct map *map, uint32_t key, uint32_t *number) {
  if (map_find(map, (uint64_t)key + 1, number)) return true;
  *number = (uint32_t)map->used;
  return map_put(map, (uint64_t)key + 1, *number);
}

/* Numbers from 1, in the order in which they come; 0 stays. */
static bool stack_number(struct trace_writer *writer, uint32_t *stack) {
  if (!*stack) return true;
  size_t before = writer->stacks.used;
  uint32_t key = *stack;
  if (!number_of(&writer->stacks, key, stack)) return false;
  if (writer->stacks.used > before && !list_add(&writer->news, key)) return false;
  ++*stack;
  return true;
}

static bool reserve_all(struct trace_writer *writer) {
  for (int i = 0; i < COLUMNS; i++)
    if (!bytes_reserve(&writer->columns[i], 4 * NUMBER_MOST)) return false;
  return true;
}

static bool put_stack(struct trace_writer *writer, uint32_t *stack) {
  uint32_t expected;
  if (!stack_number(writer, stack) || !expect_stack(&writer->state, &expected)) return false;
  bytes_number(&writer->columns[STACKS], *stack == expected ? 0 : (uint64_t)*stack + 1);
  return learn_stack(&writer->state, *stack);
}

static void put_size(struct trace_writer *writer, uint32_t stack, uint64_t size) {
  uint32_t expected = writer->state.size.data[stack];
  bool right = expected && size == expected - 1;
  bytes_number(&writer->columns[SIZES], right ? 0 : size + 1);
  learn_size(&writer->state, stack, size);
}

static void put_slot(struct trace_writer *writer, uint32_t slot) {
  bytes_number(&writer->columns[SLOTS], zigzag((int64_t)slot - writer->state.slot));
  writer->state.slot = slot;
}

/* What every event has. */
static bool begin_event(struct trace_writer *writer, enum trace_kind kind,
                        const struct trace_event *event) {
  struct state *state = &writer->state;
  if (!reserve_all(writer)) return false;
  bool changes = event->thread != state->thread;
  if (changes) bytes_number(&writer->columns[THREADS], event->thread);
  bytes_number(&writer->columns[KINDS], (uint64_t)(kind | (changes ? CHANGES : 0)));
  uint64_t time = event->time < state->time ? state->time : event->time; /* it may be late */
  bytes_number(&writer->columns[TIMES], time - state->time);
  if (!writer->summary.events++) writer->summary.first = time;
  state->thread = event->thread;
  state->time = writer->summary.last = time;
  return true;
}

static void note_peak(struct trace_writer *writer) {
  if (writer->state.bytes <= writer->summary.peak_bytes) return;
  writer->summary.peak_bytes = writer->state.bytes;
  writer->summary.peak_event = writer->summary.events;
}

static bool take(struct trace_writer *writer, enum trace_kind kind, uint32_t slot,
                 const struct trace_event *event) {
  if (!begin_event(writer, kind, event)) return false;
  put_slot(writer, slot);
  return take_slot(&writer->state, slot);
}

/* A block comes to an address: where another one is, that must have gone. */
static bool settle(struct trace_writer *writer, uint64_t address, uint32_t slot) {
  return map_put(&writer->live, address, slot + 1);
}
static bool settle_new(struct trace_writer *writer, uint64_t address, uint32_t slot,
                       uint32_t stack) {
  enum { MICROSECONDS = 1000 };
  if (!list_reach(&writer->stack, slot) || !list_reach(&writer->made, slot)) return false;
  writer->stack.data[slot] = stack;
  writer->made.data[slot] = (uint32_t)(writer->state.time / MICROSECONDS) + 1;
  return settle(writer, address, slot);
}
static bool clear(struct trace_writer *writer, uint64_t address, const struct trace_event *event) {
  uint32_t old;
  if (!map_find(&writer->live, address, &old)) return true;
  map_remove(&writer->live, address);
  return take(writer, TRACE_MISSED, old - 1, event);
}

static bool note_taken(struct trace_writer *writer, uint64_t address,
                       const struct trace_event *event) {
  uint32_t slot, stack = event->stack;
  if (!clear(writer, address, event) || !begin_event(writer, event->kind, event)) return false;
  if (event->kind == TRACE_ALIGNED) bytes_number(&writer->columns[ALIGNMENTS], event->alignment);
  if (!put_stack(writer, &stack) || !give_slot(&writer->state, event->size, &slot)) return false;
  put_size(writer, stack, event->size);
  writer->state.slot = slot;
  note_peak(writer);
  return settle_new(writer, address, slot, stack);
}

static bool note_freed(struct trace_writer *writer, uint64_t address,
                       const struct trace_event *event) {
  uint32_t slot;
  if (!map_find(&writer->live, address, &slot)) return begin_event(writer, TRACE_STRANGE, event);
  map_remove(&writer->live, address);
  return take(writer, TRACE_FREE, slot - 1, event);
}

/* realloc: from its first event to its second the address may become another block's. */
static bool note_resize(struct trace_writer *writer, uint64_t address, uint32_t thread) {
  if (thread >= writer->resizing_used) {
    size_t used = thread + 16;
    struct resizing *resizing = realloc(writer->resizing, used * sizeof *resizing);
    if (!resizing) return false;
    memset(resizing + writer->resizing_used, 0, (used - writer->resizing_used) * sizeof *resizing);
    writer->resizing = resizing;
    writer->resizing_used = used;
  }
  struct resizing resizing = {address, 0};
  if (map_find(&writer->live, address, &resizing.slot))
    map_remove(&writer->live, address);
  else
    resizing.slot = 0;
  writer->resizing[thread] = resizing;
  return true;
}

static bool note_resized(struct trace_writer *writer, uint64_t address,
                         const struct trace_event *event) {
  if (event->thread >= writer->resizing_used) return true;
  struct resizing before = writer->resizing[event->thread];
  writer->resizing[event->thread] = (struct resizing){0};
  if (!address && event->size) /* it failed */
    return !before.slot || (clear(writer, before.address, event) &&
                            settle(writer, before.address, before.slot - 1));
  if (!before.slot && !begin_event(writer, TRACE_STRANGE, event)) return false;
  if (!address) return !before.slot || take(writer, TRACE_FREE, before.slot - 1, event);
  if (!before.slot) {
    struct trace_event new = *event;
    new.kind = TRACE_MALLOC;
    return note_taken(writer, address, &new);
  }
  uint32_t slot = before.slot - 1, stack = event->stack;
  if (!clear(writer, address, event) || !begin_event(writer, TRACE_RESIZE, event)) return false;
  put_slot(writer, slot);
  if (!put_stack(writer, &stack)) return false;
  put_size(writer, stack, event->size);
  resize_slot(&writer->state, slot, event->size);
  note_peak(writer);
  return settle_new(writer, address, slot, stack);
}

static bool note_written(struct trace_writer *writer, uint64_t address,
                         const struct trace_event *event) {
  uint32_t slot;
  if (!map_find(&writer->live, address, &slot)) return true;
  if (!begin_event(writer, TRACE_WRITTEN, event)) return false;
  put_slot(writer, slot - 1);
  bytes_number(&writer->columns[PAGES], event->size & UINT32_MAX);
  bytes_number(&writer->columns[PAGES], event->size >> 32);
  return true;
}

bool trace_writer_note(struct trace_writer *writer, enum ring_kind kind, uint64_t address,
                       const struct trace_event *noted) {
  struct trace_event event = *noted;
  if (!number_of(&writer->threads, noted->thread, &event.thread)) return false;
  switch (kind) {
  case RING_MALLOC:
    event.kind = TRACE_MALLOC;
    return note_taken(writer, address, &event);
  case RING_CALLOC:
    event.kind = TRACE_CALLOC;
    return note_taken(writer, address, &event);
  case RING_ALIGNED:
    event.kind = TRACE_ALIGNED;
    return note_taken(writer, address, &event);
  case RING_FREE:
    return note_freed(writer, address, &event);
  case RING_RESIZE:
    return note_resize(writer, address, event.thread);
  case RING_RESIZED:
    return note_resized(writer, address, &event);
  case RING_WRITTEN:
    return note_written(writer, address, &event);
  case RING_CLOCK:
  case RING_WIDE:
    break;
  }
  return true; /* none of these: the program has written over it */
}

/* Rings. What happened before something else was written before it, as a block that is freed is
 * written so before it is free, and one that is made before anyone has it. So of what is there by
 * now all that is no later than now can be put in order; an event that is not there yet has nothing
 * to do with it. */

void trace_clock(uint32_t counter, uint64_t *ticks, uint64_t *nanoseconds) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  *ticks = *nanoseconds = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
#if defined __x86_64__
  if (counter == RING_PROCESSOR) *ticks = __builtin_ia32_rdtsc();
#elif defined __aarch64__
  if (counter == RING_PROCESSOR) __asm__ volatile("mrs %0, cntvct_el0" : "=r"(*ticks));
#endif
  *ticks >>= RING_TICK_SHIFT;
}

bool trace_writer_add(struct trace_writer *writer, void *ring) {
  size_t bytes = (writer->sources_used + 1) * sizeof *writer->sources;
  struct source *sources = realloc(writer->sources, bytes);
  if (!sources) return false;
  writer->sources = sources;
  sources[writer->sources_used++] = (struct source){.ring = ring};
  return true;
}

/* Of a ring that can't be so what is in it is left out. */
static void look_at(struct source *source) {
  source->end = atomic_load_explicit(&source->ring->written, memory_order_acquire);
  if (source->end - source->at > RING_EVENTS) source->at = source->end;
}

static enum ring_kind kind_of(const struct ring_event *event) {
  return event->what >> RING_KIND_SHIFT & 15;
}

static uint64_t time_since(const struct ring_event *event) {
  return kind_of(event) == RING_WRITTEN ? 0 : event->more >> RING_TIME_SHIFT & RING_TIME_MOST;
}

/* The next event that is no part of another one, with its time; false for none. */
static bool head_of(struct source *source, struct ring_event *head, uint64_t *time) {
  for (; source->at < source->end; source->at++) {
    *head = source->ring->events[source->at % RING_EVENTS];
    *time = source->time + time_since(head);
    if (kind_of(head) == RING_CLOCK) {
      source->time = head->more;
      source->thread = (uint32_t)head->what;
    } else if (kind_of(head) == RING_WIDE) {
      source->wide = head->more;
    } else {
      return true;
    }
  }
  return false;
}

static bool note_head(struct trace_writer *writer, struct source *source,
                      const struct ring_event *head, uint64_t time, uint64_t microseconds) {
  uint64_t size = kind_of(head) == RING_WRITTEN ? head->more : head->more & RING_SIZE_WIDE;
  struct trace_event event = {
      .time = microseconds,
      .size = size == RING_SIZE_WIDE ? source->wide : size,
      .stack = (uint32_t)(head->more >> RING_STACK_SHIFT),
      .alignment = head->what >> RING_ALIGNMENT_SHIFT & 31,
      .thread = source->thread,
  };
  source->time = time;
  source->at++;
  return trace_writer_note(writer, kind_of(head), head->what & RING_ADDRESS_MOST, &event);
}

static void give_back(struct source *source) {
  uint64_t before = atomic_load_explicit(&source->ring->read, memory_order_relaxed);
  if (before == source->at) return;
  atomic_store_explicit(&source->ring->read, source->at, memory_order_release);
  if (source->end - before > RING_EVENTS / 2)
    syscall(SYS_futex, &source->ring->read, FUTEX_WAKE, INT_MAX);
}

/* The one with the earliest event, and when the next one has one. */
static struct source *earliest(struct trace_writer *writer, uint64_t *first, uint64_t *other) {
  struct source *found = NULL;
  *first = *other = UINT64_MAX;
  for (size_t i = 0; i < writer->sources_used; i++) {
    struct ring_event head;
    uint64_t time;
    if (!head_of(&writer->sources[i], &head, &time) || time >= *other) continue;
    if (time < *first) {
      *other = *first;
      *first = time;
      found = &writer->sources[i];
    } else {
      *other = time;
    }
  }
  return found;
}

/* Those of one ring that come before any of another one; false without memory. */
static bool note_stretch(struct trace_writer *writer, struct source *source, uint64_t until,
                         uint64_t began, double tick) {
  struct ring_event head;
  uint64_t time;
  while (writer->summary.events < TRACE_CHUNK && head_of(source, &head, &time) && time <= until) {
    uint64_t ticks = time > began ? time - began : 0;
    if (!note_head(writer, source, &head, time, (uint64_t)((double)ticks * tick / 1000)))
      return false;
  }
  return true;
}

long trace_writer_collect(struct trace_writer *writer, uint32_t counter, uint64_t began,
                          double tick) {
  uint64_t now, first, other, unused, before = writer->summary.events;
  trace_clock(counter, &now, &unused);
  for (size_t i = 0; i < writer->sources_used; i++) look_at(&writer->sources[i]);
  while (writer->summary.events < TRACE_CHUNK) {
    struct source *source = earliest(writer, &first, &other);
    if (!source || first > now) break;
    if (!note_stretch(writer, source, other < now ? other : now, began, tick)) return -1;
  }
  for (size_t i = 0; i < writer->sources_used; i++) give_back(&writer->sources[i]);
  return (long)(writer->summary.events - before);
}

size_t trace_writer_pending(const struct trace_writer *writer) {
  return writer->summary.events;
}

size_t trace_writer_stacks(struct trace_writer *writer, uint32_t *numbers, size_t most) {
  size_t count = writer->news.used - writer->told;
  if (count > most) count = most;
  memcpy(numbers, writer->news.data + writer->told, count * sizeof *numbers);
  writer->told += count;
  return count;
}

size_t trace_writer_chunk(struct trace_writer *writer, const uint8_t **bytes) {
  struct head head = {.summary = writer->summary, .magic = MAGIC};
  struct bytes *chunk = &writer->chunk;
  head.summary.live_bytes = writer->state.bytes;
  head.summary.live_blocks = writer->state.blocks;
  size_t size = sizeof head;
  for (int i = 0; i < COLUMNS; i++) size += head.lengths[i] = (uint32_t)writer->columns[i].used;
  chunk->used = 0;
  if (!bytes_reserve(chunk, size)) return 0;
  memcpy(chunk->data, &head, sizeof head);
  chunk->used = sizeof head;
  for (int i = 0; i < COLUMNS; i++) {
    if (writer->columns[i].used)
      memcpy(chunk->data + chunk->used, writer->columns[i].data, writer->columns[i].used);
    chunk->used += writer->columns[i].used;
    writer->columns[i].used = 0;
  }
  writer->summary = (struct trace_summary){.peak_bytes = writer->state.bytes};
  *bytes = chunk->data;
  return chunk->used;
}

void trace_writer_tell(const struct trace_writer *writer, struct adopted_block *blocks,
                       size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t slot;
    bool known = map_find(&writer->live, blocks[i].address, &slot) &&
                 size_of(&writer->state, slot - 1) == blocks[i].size;
    blocks[i].stack = known ? writer->stack.data[slot - 1] : 0;
    blocks[i].since = known ? writer->made.data[slot - 1] : 0;
  }
}

void trace_wait(void *word, unsigned milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  syscall(SYS_futex, word, FUTEX_WAIT, 0, &time);
}

void trace_sleep(void *belled, unsigned milliseconds) {
  enum { BEAT = 2 };
  struct ring_bell *bell = belled;
  for (unsigned slept = 0; slept < milliseconds; slept += BEAT) {
    bell->beat++;
    if (atomic_exchange(&bell->rung, 0)) return;
    trace_wait(&bell->rung, BEAT);
  }
}

/* Reading */

struct column_reader {
  const uint8_t *at, *end;
};

struct trace_reader {
  struct state state;
  struct column_reader columns[COLUMNS];
  uint64_t left; /* events of the chunk */
};

struct trace_reader *trace_reader_new(void) {
  return calloc(1, sizeof(struct trace_reader));
}

void trace_reader_free(struct trace_reader *reader) {
  drop_state(&reader->state);
  free(reader);
}

bool trace_reader_chunk(struct trace_reader *reader, const uint8_t *bytes, size_t size,
                        struct trace_summary *summary) {
  struct head head;
  if (size < sizeof head) return false;
  memcpy(&head, bytes, sizeof head);
  size_t at = sizeof head;
  if (head.magic != MAGIC) return false;
  for (int i = 0; i < COLUMNS; i++) {
    if (head.lengths[i] > size - at) return false;
    reader->columns[i] = (struct column_reader){bytes + at, bytes + at + head.lengths[i]};
    at += head.lengths[i];
  }
  reader->left = head.summary.events;
  *summary = head.summary;
  return at == size;
}

static bool number_in(struct column_reader *column, uint64_t *value) {
  *value = 0;
  for (unsigned shift = 0; column->at < column->end && shift < 64; shift += 7) {
    uint8_t byte = *column->at++;
    *value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

/* A number of which there are not more than so many. */
static bool small_in(struct column_reader *column, uint64_t most, uint32_t *value) {
  uint64_t number;
  if (!number_in(column, &number) || number > most) return false;
  *value = (uint32_t)number;
  return true;
}

static bool slot_in(struct trace_reader *reader, struct trace_event *event) {
  uint64_t number;
  if (!number_in(&reader->columns[SLOTS], &number)) return false;
  uint64_t slot = (uint64_t)(reader->state.slot + unzigzag(number));
  if (slot >= reader->state.slots) return false;
  event->slot = reader->state.slot = (uint32_t)slot;
  return true;
}

static bool stack_in(struct trace_reader *reader, struct trace_event *event) {
  enum { STACKS_MOST = 1 << 28 };
  uint32_t expected, number;
  if (!expect_stack(&reader->state, &expected)) return false;
  if (!small_in(&reader->columns[STACKS], STACKS_MOST, &number)) return false;
  event->stack = number ? number - 1 : expected;
  return learn_stack(&reader->state, event->stack);
}

static bool size_in(struct trace_reader *reader, struct trace_event *event) {
  uint64_t number;
  uint32_t expected = reader->state.size.data[event->stack];
  if (!number_in(&reader->columns[SIZES], &number) || (!number && !expected)) return false;
  event->size = number ? number - 1 : expected - 1;
  learn_size(&reader->state, event->stack, event->size);
  return true;
}

static bool taken_in(struct trace_reader *reader, struct trace_event *event) {
  uint32_t *alignment = &event->alignment;
  if (event->kind == TRACE_ALIGNED && !small_in(&reader->columns[ALIGNMENTS], 63, alignment))
    return false;
  if (!stack_in(reader, event) || !size_in(reader, event)) return false;
  if (!give_slot(&reader->state, event->size, &event->slot)) return false;
  reader->state.slot = event->slot;
  return true;
}

static bool freed_in(struct trace_reader *reader, struct trace_event *event) {
  if (!slot_in(reader, event)) return false;
  event->size = size_of(&reader->state, event->slot);
  return take_slot(&reader->state, event->slot);
}

static bool resized_in(struct trace_reader *reader, struct trace_event *event) {
  if (!slot_in(reader, event) || !stack_in(reader, event) || !size_in(reader, event)) return false;
  resize_slot(&reader->state, event->slot, event->size);
  return true;
}

static bool written_in(struct trace_reader *reader, struct trace_event *event) {
  uint32_t pages;
  if (!slot_in(reader, event)) return false;
  if (!small_in(&reader->columns[PAGES], UINT32_MAX, &event->first)) return false;
  if (!small_in(&reader->columns[PAGES], UINT32_MAX, &pages)) return false;
  event->size = pages;
  return true;
}

static bool event_in(struct trace_reader *reader, struct trace_event *event) {
  enum { THREADS_MOST = 1 << 24 };
  struct state *state = &reader->state;
  uint32_t kind;
  uint64_t delta;
  if (!small_in(&reader->columns[KINDS], UINT8_MAX, &kind)) return false;
  if (kind & CHANGES && !small_in(&reader->columns[THREADS], THREADS_MOST, &state->thread))
    return false;
  if (!number_in(&reader->columns[TIMES], &delta)) return false;
  state->time += delta;
  *event = (struct trace_event){
      .kind = kind & ~(uint32_t)CHANGES, .thread = state->thread, .time = state->time};
  switch ((enum trace_kind)event->kind) {
  case TRACE_MALLOC:
  case TRACE_CALLOC:
  case TRACE_ALIGNED:
    return taken_in(reader, event);
  case TRACE_FREE:
  case TRACE_MISSED:
    return freed_in(reader, event);
  case TRACE_RESIZE:
    return resized_in(reader, event);
  case TRACE_WRITTEN:
    return written_in(reader, event);
  case TRACE_STRANGE:
    return true;
  }
  return false;
}

long trace_reader_events(struct trace_reader *reader, struct trace_event *events, size_t most) {
  size_t count = 0;
  for (; count < most && reader->left; count++, reader->left--)
    if (!event_in(reader, &events[count])) return -1;
  return (long)count;
}

bool trace_reader_each(struct trace_reader *reader, trace_each *each, void *context) {
  struct trace_event event;
  for (; reader->left; reader->left--)
    if (!event_in(reader, &event) || !each(context, &event)) return false;
  return true;
}
