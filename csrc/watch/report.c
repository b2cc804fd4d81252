/* Reports (see report.h). */
#include "watch/report.h"

#include "base/json.h"
#include "base/lock.h"
#include "os/destination.h"
#include "os/features.h"
#include "os/files.h"
#include "os/process.h"
#include "watch/modules.h"
#include "watch/recover.h"
#include "watch/sentence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 1024 };

/* Where JSON goes, besides: as the first heap had it that reports in full. */
static struct {
  _Atomic bool given;
  bool modules;                /* whether /proc may be asked for them */
  bool headlines;              /* whether a line is said besides */
  char name[DESTINATION_MOST]; /* yes: nowhere */
  struct os_identity identity; /* of the descriptor, so that no other one is written to */
} sink;

void report_start(const struct options *options) {
  if (atomic_exchange(&sink.given, true)) return;
  memcpy(sink.name, options->report, sizeof sink.name);
  sink.headlines = options->headlines;
  sink.modules = os_uses(options, OS_PROC);
  destination_identify(sink.name, &sink.identity);
}

void report_line(const char *line) {
  char buffer[LINE];
  struct text text = TEXT(buffer);
  text_string(&text, "patalloc: ");
  text_string(&text, line);
  size_t length = text.length < LINE - 2 ? text.length : LINE - 2;
  buffer[length] = '\n';
  os_write(STDERR_FILENO, buffer, length + 1);
}

/* Stacks: that of the event, of the allocation, of the free. */

enum { STACKS = 3 };
static struct stack stacks[STACKS];
static struct modules modules;

/* Threads begin in this library (preload/alternate.c). */
static void leave_out_own(struct stack *stack) {
  unsigned count = 0;
  for (unsigned i = 0; i < stack->count; i++)
    if (!recover_is_own(stack->frames[i])) stack->frames[count++] = stack->frames[i];
  stack->count = count;
}

static void collect_stacks(const struct event *event) {
  stacks[0] = event->stack;
  stack_find(event->history.allocated.stack, &stacks[1]);
  stack_find(event->history.freed.stack, &stacks[2]);
  for (int i = 0; i < STACKS; i++) leave_out_own(&stacks[i]);
  modules.count = 0;
  if (sink.modules) modules_find(&modules, stacks, STACKS);
}

/* Text */

static void say_stack(struct text *text, const struct stack *stack) {
  for (unsigned i = 0; i < stack->count; i++) {
    uintptr_t pc = stack->frames[i];
    const struct module *module = modules_at(&modules, pc);
    text_around(text, "    #", i, " ");
    text_hex(text, pc, 1);
    if (module) {
      text_string(text, " ");
      text_string(text, module->path);
      text_string(text, "+");
      text_hex(text, pc - module->base, 1);
    }
    text_string(text, "\n");
  }
}

static void say_moment(struct text *text, const char *what, const struct moment *moment,
                       const struct stack *stack) {
  if (!moment->thread && !stack->count) return;
  text_string(text, what);
  if (moment->thread) {
    text_around(text, " by thread ", moment->thread, ", ");
    text_around(text, "", os_milliseconds() - moment->time, " ms before");
  }
  text_string(text, stack->count ? ":\n" : "\n");
  say_stack(text, stack);
}

static void say_register(struct text *text, const struct death_register *each) {
  static const char *const places[] = {[PLACE_BEFORE] = " bytes before ",
                                       [PLACE_INSIDE] = " bytes into ",
                                       [PLACE_AFTER] = " bytes past the end of "};
  static const char *const of_one[] = {[PLACE_BEFORE] = " byte before ",
                                       [PLACE_INSIDE] = " byte into ",
                                       [PLACE_AFTER] = " byte past the end of "};
  text_string(text, "  ");
  text_string(text, each->name);
  text_string(text, " is ");
  text_hex(text, each->value, 1);
  bool one = each->distance == 1;
  text_around(text, ", ", each->distance, (one ? of_one : places)[each->place]);
  text_around(text, each->live ? "a " : "what was a ", each->size, "-byte block at ");
  text_hex(text, each->block, 1);
  text_string(text, "\n");
}

static void write_text(struct text *text, const struct event *event) {
  bool coloured = os_is_terminal(STDERR_FILENO);
  char name[OS_NAME];
  os_thread_name(name);
  text_string(text, coloured ? "\033[1;31mpatalloc: " : "patalloc: ");
  sentence_write(text, event);
  text_string(text, coloured ? "\033[0m\n" : "\n");
  text_around(text, "  in thread ", os_thread_id(), " (");
  text_string(text, name);
  text_around(text, ") of process ", (uint64_t)os_process_id(), ":\n");
  say_stack(text, &stacks[0]);
  for (unsigned i = 0; event->death && i < event->death->count; i++)
    say_register(text, &event->death->list[i]);
  say_moment(text, "  allocated", &event->history.allocated, &stacks[1]);
  say_moment(text, "  freed", &event->history.freed, &stacks[2]);
}

/* JSON: docs/reports.md has the schema */

static void put_stack(struct json *json, const struct stack *stack) {
  struct text *text = json->text;
  json_key(json, "stack");
  for (unsigned i = 0; i < stack->count; i++) {
    text_string(text, i ? ",\"" : "[\"");
    text_hex(text, stack->frames[i], 1);
    text_string(text, "\"");
  }
  text_string(text, stack->count ? "]" : "[]");
}

static void put_moment(struct json *json, const char *key, const struct moment *moment,
                       const struct stack *stack) {
  if (!moment->thread && !stack->count) return;
  json_key(json, key);
  json_open(json);
  if (moment->thread) {
    json_number(json, "thread", moment->thread);
    json_number(json, "age_ms", os_milliseconds() - moment->time);
  }
  put_stack(json, stack);
  json_close(json);
}

static const char *const places[] = {NULL, "before", "inside", "after"};

static void put_block(struct json *json, const struct event *event) {
  json_key(json, "block");
  json_open(json);
  json_hex(json, "address", event->block);
  json_number(json, "size", event->size);
  json_string(json, "state", event->live ? "live" : event->released ? "released" : "freed");
  put_moment(json, "allocated", &event->history.allocated, &stacks[1]);
  put_moment(json, "freed", &event->history.freed, &stacks[2]);
  json_close(json);
}

static void put_bytes(struct json *json, const struct event *event) {
  json_key(json, "bytes");
  text_string(json->text, "\"");
  sentence_bytes(json->text, event);
  text_string(json->text, "\"");
}

static void put_mismatch(struct json *json, const struct mismatch *mismatch) {
  json_string(json, "origin", mismatch->origin);
  if (mismatch->is_sized) json_number(json, "told_size", mismatch->told_size);
  if (mismatch->alignment) json_number(json, "alignment", mismatch->alignment);
  if (mismatch->told_alignment) json_number(json, "told_alignment", mismatch->told_alignment);
}

static void put_register(struct json *json, const struct death_register *each) {
  json_open(json);
  json_string(json, "name", each->name);
  json_hex(json, "value", each->value);
  json_string(json, "place", places[each->place]);
  json_number(json, "distance", each->distance);
  json_key(json, "block");
  json_open(json);
  json_hex(json, "address", each->block);
  json_number(json, "size", each->size);
  json_string(json, "state", each->live ? "live" : "freed");
  json_close(json);
  json_close(json);
}

static void put_registers(struct json *json, const struct death *death) {
  json_key(json, "registers");
  for (unsigned i = 0; i < death->count; i++) {
    text_string(json->text, i ? "," : "[");
    put_register(json, &death->list[i]);
  }
  text_string(json->text, death->count ? "]" : "[]");
}

static void put_modules(struct json *json) {
  struct text *text = json->text;
  json_key(json, "modules");
  text_string(text, "[");
  for (unsigned i = 0; i < modules.count; i++) {
    const struct module *module = &modules.list[i];
    text_string(text, i ? "," : "");
    json_open(json);
    json_string(json, "path", module->path);
    json_hex(json, "base", module->base);
    json_hex(json, "start", module->start);
    json_hex(json, "end", module->end);
    json_key(json, "build_id");
    text_string(text, "\"");
    for (unsigned at = 0; at < module->id_length; at++) {
      text_span(text, &"0123456789abcdef"[module->id[at] >> 4], 1);
      text_span(text, &"0123456789abcdef"[module->id[at] & 15], 1);
    }
    text_string(text, "\"");
    json_close(json);
  }
  text_string(text, "]");
}

static void write_json(struct text *text, const struct event *event) {
  struct json line = JSON_LINE(text), *json = &line;
  char name[OS_NAME], sentence[LINE];
  struct text summary = TEXT(sentence);
  sentence[0] = 0;
  sentence_write(&summary, event);
  os_thread_name(name);
  json_open(json);
  json_number(json, "version", 1);
  json_string(json, "kind", sentence_kind(event));
  json_string(json, "summary", sentence);
  if (event->access) json_string(json, "access", event->access);
  if (event->call) json_string(json, "call", event->call);
  if (event->signal) json_number(json, "signal", (uint64_t)event->signal);
  if (event->address) json_hex(json, "address", event->address);
  if (event->place) json_string(json, "place", places[event->place]);
  if (event->distance || event->place == PLACE_INSIDE)
    json_number(json, "distance", event->distance);
  if (event->tags[0] >= 0) json_number(json, "pointer_tag", (uint64_t)event->tags[0]);
  if (event->tags[0] >= 0) json_number(json, "memory_tag", (uint64_t)event->tags[1]);
  if (event->found) put_bytes(json, event);
  if (event->kind == EVENT_MISMATCH) put_mismatch(json, &event->mismatch);
  if (event->leaked.blocks) json_number(json, "blocks", event->leaked.blocks);
  if (event->leaked.blocks) json_number(json, "total_size", event->leaked.bytes);
  json_number(json, "process", (uint64_t)os_process_id());
  json_number(json, "thread", os_thread_id());
  json_string(json, "thread_name", name);
  put_stack(json, &stacks[0]);
  if (event->death) put_registers(json, event->death);
  if (event->place) put_block(json, event);
  put_modules(json);
  json_close(json);
  text_string(text, "\n");
}

/* One write, so that those of several processes don't mix. */
static bool put_json(int descriptor, void *context) {
  const struct text *json = context;
  os_write(descriptor, json->data, json->length < json->capacity ? json->length : json->capacity);
  return true;
}

static bool send_json(struct text *json) {
  if (text_is("yes", sink.name, text_length(sink.name))) return false;
  return destination_visit(sink.name, &sink.identity, OPEN_APPEND, put_json, json);
}

/* Both */

static void say_in_a_line(const struct event *event) {
  char buffer[LINE];
  struct text text = TEXT(buffer);
  buffer[0] = 0;
  sentence_write(&text, event);
  report_line(buffer);
}

static void say_in_full(const struct event *event) {
  static char buffer[1 << 15];
  struct text text = TEXT(buffer);
  buffer[0] = 0;
  collect_stacks(event);
  write_json(&text, event);
  if (send_json(&text)) {
    if (sink.headlines) say_in_a_line(event);
    return;
  }
  text = TEXT(buffer);
  write_text(&text, event);
  os_write(STDERR_FILENO, buffer, text_length(buffer));
}

/* Whose turn it is: process and thread, so that in the child of a fork that of a parent's thread is
 * known, which is not there to end it. (A child of vfork(2), which has the parent's memory, may
 * so cut in on the parent's other threads.) */

static _Atomic uint64_t reporter; /* 0: nobody */
static _Atomic uint32_t ended;    /* reports, for those that wait */

bool report_begin(void) {
  uint64_t process = (uint64_t)os_process_id() << 32, me = process | os_thread_id(), found = 0;
  for (;;) {
    uint32_t before = ended;
    if (atomic_compare_exchange_strong(&reporter, &found, me)) return true;
    if (found == me) return false;
    if (found >> 32 != process >> 32) continue; /* its turn is taken over */
    lock_wait(&ended, before);
    found = 0;
  }
}

bool report_begin_now(void) {
  uint64_t nobody = 0, me = (uint64_t)os_process_id() << 32 | os_thread_id();
  return atomic_compare_exchange_strong(&reporter, &nobody, me);
}

void report_end(void) {
  reporter = 0;
  ended++;
  lock_wake(&ended);
}

/* A program that goes on after faults may fault for ever. */
static bool is_one_too_many(void) {
  enum { MOST = 100 };
  static _Atomic unsigned reports;
  unsigned before = reports;
  if (before <= MOST) reports++;
  if (before == MOST) report_line("that was the last report of this process");
  return before >= MOST;
}

bool report_is_wanted(void) {
  return sink.given;
}

bool report_may_ask(void) {
  return sink.modules;
}

static _Atomic bool said_last;

bool report_said_last(void) {
  return said_last;
}

void report_in_a_line(const struct event *event) {
  if (!is_one_too_many()) say_in_a_line(event);
}

void report_fault(const struct event *event) {
  if (!is_one_too_many()) (sink.given ? say_in_full : say_in_a_line)(event);
}

static void say_error(const struct watch *watch, const struct event *event) {
  if (!watch->reports || !report_begin()) return say_in_a_line(event);
  say_in_full(event);
  report_end();
}

report_look *_Atomic report_last_look;

static void tell(const struct event *event) {
  if (!sink.given || !report_begin()) return say_in_a_line(event);
  report_fault(event);
  report_end();
}

/* Not again by what that finds. */
static void look_once(void) {
  report_look *look = atomic_exchange(&report_last_look, NULL);
  if (look) look("report", tell);
}

static _Atomic bool ending;

void report_ending(void) {
  ending = true;
}

/* What the program has printed is not to be lost. Not where a thread has the stream, which may wait
 * for ever with it. */
static void flush_output(void) {
  if (ftrylockfile(stdout)) return;
  fflush(stdout);
  funlockfile(stdout);
}

void report_found(const struct watch *watch, const struct event *event) {
  if (!watch->reports || !is_one_too_many()) say_error(watch, event);
  stats_add(watch->stats, STAT_ERRORS, 1);
}

void report_error(const struct watch *watch, struct event *event) {
  unwind(&event->stack, watch->reports ? STACK_MOST / 2 : 0, NULL);
  report_found(watch, event);
  report_stop(watch);
}

void report_call(const struct watch *watch, struct event *event) {
  unwind(&event->stack, STACK_MOST / 2, NULL);
  report_found(watch, event);
}

void report_leak(const struct watch *watch, const struct event *event) {
  say_error(watch, event);
  if (event->kind == EVENT_LEAK) stats_add(watch->stats, STAT_ERRORS, 1);
}

void report_stop(const struct watch *watch) {
  if (watch->options->on_error != ON_ERROR_ABORT) return;
  look_once();
  if (ending) flush_output();
  said_last = true;
  abort();
}

void report_misuse(const struct watch *watch, const char *call, const void *pointer) {
  struct event event;
  event_of_misuse(&event, watch->options, call, pointer);
  report_error(watch, &event);
}
