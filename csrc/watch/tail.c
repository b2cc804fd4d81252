/* Tails (see tail.h). */
#include "watch/tail.h"

#include "os/process.h"
#include "watch/event.h"
#include "watch/fault.h"
#include "watch/recover.h"
#include "watch/report.h"

#include <stdatomic.h>
#include <string.h>

static struct tail *tail_of(const struct watch *watch, void *pointer) {
  return (struct tail *)((char *)pointer + watch->usable_size(pointer) - sizeof(struct tail));
}

/* With a number that the program does not know. */
static uint32_t mix(uint64_t value) {
  static _Atomic uint64_t key;
  uint64_t none = 0;
  if (!key) atomic_compare_exchange_strong(&key, &none, os_random() | 1);
  return (uint32_t)((value ^ key) * 0x9e3779b97f4a7c15 >> 32);
}

static uint32_t check_of(const void *pointer, const struct tail *tail) {
  return mix((uintptr_t)pointer ^ tail->size ^ (uint64_t)tail->stack << 32);
}

/* What stands for that in a freed block. */
static uint32_t check_of_freed(const void *pointer, const struct tail *tail) {
  return ~mix((uintptr_t)pointer ^ (uint64_t)tail->stack << 32);
}

/* By copying, as it need not be aligned. */
void tail_put(const struct watch *watch, void *pointer, size_t size) {
  if (watch->reports) fault_watch(watch, false);
  struct tail tail = {watch->reports ? stack_record(watch->options) : 0, 0, size};
  tail.check = check_of(pointer, &tail);
  memcpy(tail_of(watch, pointer), &tail, sizeof tail);
}

void tail_end(const struct watch *watch, void *pointer, struct tail *tail) {
  tail->check = check_of_freed(pointer, tail);
  memcpy(tail_of(watch, pointer), tail, sizeof *tail);
}

struct tail_look {
  const struct watch *watch;
  void *pointer;
  uintptr_t tail_start;
  struct tail tail;
  bool freed, sound;
  struct slack_part part; /* that was overwritten, if it is not */
};

/* Where the tail itself is overwritten the block's size is lost, and who allocated it. */
static void read_tail(void *context) {
  struct tail_look *look = context;
  struct tail *tail = &look->tail;
  look->tail_start = (uintptr_t)tail_of(look->watch, look->pointer);
  memcpy(tail, (const void *)look->tail_start, sizeof *tail);
  look->freed = tail->check == check_of_freed(look->pointer, tail);
  if (tail->check != check_of(look->pointer, tail)) {
    look->part = (struct slack_part){look->tail_start, look->tail_start + sizeof *tail};
    tail->size = UINT64_MAX;
    if (!look->freed) tail->stack = 0;
    return;
  }
  uintptr_t end = (uintptr_t)look->pointer + tail->size;
  look->sound = !slack_find(look->watch->options->pattern, end, look->tail_start, &look->part);
}

enum tail_state tail_check(const struct watch *watch, const char *call, void *pointer,
                           struct tail *tail) {
  struct tail_look look = {.watch = watch, .pointer = pointer};
  struct event event;
  if (!recover_try(read_tail, &look)) return TAIL_UNREADABLE;
  *tail = look.tail;
  if (look.sound) return TAIL_LIVE;
  if (look.freed)
    event_of_freed_small(&event, call, pointer, tail->stack);
  else
    event_of_small_overwrite(&event, call, pointer, tail->size, tail->stack, look.part.from,
                             look.part.end);
  report_error(watch, &event);
  if (tail->size == UINT64_MAX) tail->size = look.tail_start - (uintptr_t)pointer;
  return look.freed ? TAIL_FREED : TAIL_LIVE;
}
