/* Making plans of traces (see plan.h).
 *
 * A slot of a plan is given back to the thread that frees its block, and not to the one that
 * allocates next: so no thread waits for another one but where it frees or resizes a block of that.
 */
#include "plan.h"

#include "table.h"

#include <errno.h>
#include <unistd.h>

struct thread {
  struct bytes steps;
  struct list free; /* slots */
};

/* By the trace's slot: which slot of the plan has the block, and which pages it is known to write.
 */
struct block {
  uint32_t slot, touch;
  bool live;
};

/* By the plan's slot: who used it last, and how often it was used. */
struct use {
  uint32_t thread, turns;
};

struct plan {
  struct thread *threads;
  struct block *blocks;
  struct use *uses;
  struct bytes runs;
  size_t threads_used, blocks_used, uses_capacity;
  uint32_t slots, touches;
  uint64_t number;
};

struct plan *plan_new(void) {
  struct plan *plan = calloc(1, sizeof *plan);
  if (plan) plan->touches = 1; /* 0 is none */
  return plan;
}

void plan_free(struct plan *plan) {
  for (size_t i = 0; i < plan->threads_used; i++) {
    free(plan->threads[i].steps.data);
    free(plan->threads[i].free.data);
  }
  free(plan->threads);
  free(plan->blocks);
  free(plan->uses);
  free(plan->runs.data);
  free(plan);
}

/* An array that reaches a place; what is new in it is zeros. */
static bool reach(void *array, size_t *used, size_t place, size_t size) {
  if (place < *used) return true;
  size_t wanted = (place + 16) * 3 / 2;
  char *larger = realloc(*(void **)array, wanted * size);
  if (!larger) return false;
  memset(larger + *used * size, 0, (wanted - *used) * size);
  *(void **)array = larger;
  *used = wanted;
  return true;
}

static bool add_step(struct plan *plan, const struct trace_event *event, uint32_t slot,
                     uint32_t touch) {
  struct thread *thread = &plan->threads[event->thread];
  struct use *use = &plan->uses[slot];
  bool waits = use->turns && use->thread != event->thread;
  if (!bytes_reserve(&thread->steps, sizeof(struct plan_step))) return false;
  struct plan_step step = {.size = event->size,
                           .number = plan->number,
                           .slot = slot,
                           .turn = waits ? use->turns : 0,
                           .touch = touch,
                           .kind = (uint8_t)event->kind,
                           .alignment = (uint8_t)event->alignment};
  memcpy(thread->steps.data + thread->steps.used, &step, sizeof step);
  thread->steps.used += sizeof step;
  use->thread = event->thread;
  use->turns++;
  return true;
}

enum { LARGE = 1 << 20 };

static bool take(struct plan *plan, const struct trace_event *event) {
  struct thread *thread = &plan->threads[event->thread];
  struct block *block = &plan->blocks[event->slot];
  bool resized = event->kind == TRACE_RESIZE && block->live;
  if (!resized) {
    block->slot = thread->free.used ? thread->free.data[--thread->free.used] : plan->slots++;
    if (!reach(&plan->uses, &plan->uses_capacity, block->slot, sizeof *plan->uses)) return false;
  }
  block->live = true;
  block->touch = event->size >= LARGE ? plan->touches++ : 0;
  return add_step(plan, event, block->slot, block->touch);
}

static bool give(struct plan *plan, const struct trace_event *event) {
  struct block *block = &plan->blocks[event->slot];
  if (!block->live) return true;
  block->live = false;
  struct trace_event freed = *event;
  freed.kind = TRACE_FREE;
  return add_step(plan, &freed, block->slot, 0) &&
         list_add(&plan->threads[event->thread].free, block->slot);
}

static bool write_pages(struct plan *plan, const struct trace_event *event) {
  const struct block *block = &plan->blocks[event->slot];
  struct plan_run run = {block->touch, event->first, (uint32_t)event->size};
  if (!block->live || !block->touch) return true;
  if (!bytes_reserve(&plan->runs, sizeof run)) return false;
  memcpy(plan->runs.data + plan->runs.used, &run, sizeof run);
  plan->runs.used += sizeof run;
  return true;
}

static bool add(void *context, const struct trace_event *event) {
  struct plan *plan = context;
  plan->number++;
  if (!reach(&plan->threads, &plan->threads_used, event->thread, sizeof *plan->threads) ||
      !reach(&plan->blocks, &plan->blocks_used, event->slot, sizeof *plan->blocks))
    return false;
  switch ((enum trace_kind)event->kind) {
  case TRACE_MALLOC:
  case TRACE_CALLOC:
  case TRACE_ALIGNED:
  case TRACE_RESIZE:
    return take(plan, event);
  case TRACE_FREE:
  case TRACE_MISSED:
    return give(plan, event);
  case TRACE_WRITTEN:
    return write_pages(plan, event);
  case TRACE_STRANGE:
    return true;
  }
  return false;
}

bool plan_chunk(struct plan *plan, struct trace_reader *reader) {
  return trace_reader_each(reader, add, plan);
}

static bool write_all(int descriptor, const void *data, size_t size) {
  while (size) {
    ssize_t done = write(descriptor, data, size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return false;
    data = (const char *)data + done;
    size -= (size_t)done;
  }
  return true;
}

static int by_touch(const void *one, const void *other) {
  const struct plan_run *first = one, *second = other;
  if (first->touch != second->touch) return first->touch < second->touch ? -1 : 1;
  return (first->first > second->first) - (first->first < second->first);
}

bool plan_write(struct plan *plan, int descriptor) {
  size_t runs = plan->runs.used / sizeof(struct plan_run);
  struct plan_head head = {
      .magic = "patplan\n", .slots = plan->slots, .touches = plan->touches, .runs = runs};
  if (runs) qsort(plan->runs.data, runs, sizeof(struct plan_run), by_touch);
  for (size_t i = 0; i < plan->threads_used; i++) {
    head.steps += plan->threads[i].steps.used / sizeof(struct plan_step);
    head.threads += plan->threads[i].steps.used > 0;
  }
  if (!write_all(descriptor, &head, sizeof head)) return false;
  for (size_t i = 0; i < plan->threads_used; i++) {
    uint64_t steps = plan->threads[i].steps.used / sizeof(struct plan_step);
    if (steps && !write_all(descriptor, &steps, sizeof steps)) return false;
  }
  if (!write_all(descriptor, plan->runs.data, plan->runs.used)) return false;
  for (uint64_t pad = 0; plan->runs.used % 8; plan->runs.used += 4) /* steps are of words */
    if (!write_all(descriptor, &pad, 4)) return false;
  for (size_t i = 0; i < plan->threads_used; i++)
    if (!write_all(descriptor, plan->threads[i].steps.data, plan->threads[i].steps.used))
      return false;
  return true;
}
