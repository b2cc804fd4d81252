/* Reports (see report.h). */
#include "watch/report.h"

#include "base/lock.h"
#include "os/destination.h"
#include "os/features.h"
#include "os/files.h"
#include "os/process.h"
#include "watch/event_json.h"
#include "watch/note.h"
#include "watch/recover.h"
#include "watch/sentence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where JSON goes, besides: as the first heap had it that reports in full. */
static struct {
  _Atomic bool given;
  bool modules;                /* whether /proc may be asked for them */
  bool headlines;              /* whether a line is said besides */
  char name[DESTINATION_MOST]; /* yes: nowhere */
  struct os_identity identity; /* of the descriptor, so that no other one is written to */
  int kept;                    /* standard error as it was at the start, where text goes; or -1 */
  struct os_identity of_kept;
} sink;

static int standard_error = STDERR_FILENO;

void report_to(int descriptor) {
  standard_error = descriptor;
}

void report_start(const struct options *options) {
  if (atomic_exchange(&sink.given, true)) return;
  history_began = os_milliseconds();
  memcpy(sink.name, options->report, sizeof sink.name);
  sink.headlines = options->headlines;
  sink.modules = os_uses(options, OS_PROC);
  destination_identify(sink.name, &sink.identity);
  sink.kept = -1; /* test runners have another file in its place, which is lost if all ends */
  if (text_is("yes", sink.name, text_length(sink.name)))
    sink.kept = os_duplicate_descriptor(standard_error);
  if (sink.kept >= 0) os_identify(sink.kept, &sink.of_kept, NULL);
}

void report_forked(void) {
  if (sink.given && sink.kept >= 0 && os_is(sink.kept, &sink.of_kept)) os_close(sink.kept);
  sink.kept = -1;
}

static int screen(void) {
  return sink.kept >= 0 && os_is(sink.kept, &sink.of_kept) ? sink.kept : STDERR_FILENO;
}

void report_line(const char *line) {
  char buffer[SENTENCE_MOST];
  struct text text = TEXT(buffer);
  text_string(&text, "patalloc: ");
  text_string(&text, line);
  size_t length = text.length < SENTENCE_MOST - 2 ? text.length : SENTENCE_MOST - 2;
  buffer[length] = '\n';
  os_write(STDERR_FILENO, buffer, length + 1);
}

/* Stacks: that of the event, of the allocation, of the free. */

static struct told told;

static bool is_of_another_of_ours(uintptr_t pc) {
  const struct module *module = modules_at(&told.modules, pc);
  if (!module) return false;
  const char *name = module->path;
  for (const char *at = name; *at; at++)
    if (*at == '/') name = at + 1;
  return text_past(name, "libpatalloc_");
}

/* Threads begin in this library (preload/alternate.c). */
static bool is_ours(uintptr_t pc) {
  return recover_is_own(pc) || is_of_another_of_ours(pc);
}

/* Up to `from` frames stay in front. */
static unsigned leave_out_own(struct stack *stack, unsigned from) {
  unsigned count = 0, before = 0;
  for (unsigned i = 0; i < stack->count; i++) {
    if (i == from) before = count;
    if (!is_ours(stack->frames[i])) stack->frames[count++] = stack->frames[i];
  }
  stack->count = count;
  return before;
}

static void find_stacks(const struct history *history, struct stack found[2]) {
  stack_find(history->allocated.stack, &found[0]);
  stack_find(history->freed.stack, &found[1]);
}

static void collect_stacks(const struct event *event) {
  static const struct history none;
  const struct death *death = event->death;
  told.note = note_find(note_now()).said;
  *told.lines = 0;
  if (event->kind != EVENT_LEAK && event->kind != EVENT_STILL_REACHABLE)
    note_read_lines(told.lines, sizeof told.lines);
  told.stacks[0] = event->stack;
  find_stacks(&event->history, &told.stacks[1]);
  for (unsigned i = 0; i < TOLD_REGISTERS; i++)
    find_stacks(death && i < death->count ? &death->list[i].history : &none,
                &told.stacks[TOLD_EVENT + 2 * i]);
  told.modules.count = 0;
  if (sink.modules) modules_find(&told.modules, told.stacks, TOLD_STACKS);
  unsigned last = event->left_out ? event->stack.count - STACK_LAST : 0;
  told.left_out_before = leave_out_own(&told.stacks[0], last);
  for (int i = 1; i < TOLD_STACKS; i++) leave_out_own(&told.stacks[i], 0);
}

/* Text */

static void say_stack(struct text *text, const struct stack *stack, unsigned left_out) {
  for (unsigned i = 0; i < stack->count; i++) {
    uintptr_t pc = stack->frames[i];
    if (left_out && i == told.left_out_before)
      text_around(text, "    ... ", left_out, " calls left out\n");
    const struct module *module = modules_at(&told.modules, pc);
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

static void say_note(struct text *text, const char *said) {
  if (*said) text_string(text, ", during ");
  text_string(text, said);
}

static void say_moment(struct text *text, const char *what, const struct moment *moment,
                       const struct stack *stack) {
  struct note note = note_find(moment->note);
  if (!moment->thread && !stack->count && !*note.said && !*note.lines) return;
  text_string(text, what);
  if (moment->thread) {
    text_around(text, " by thread ", moment->thread, ", ");
    text_around(text, "", os_milliseconds() - moment->time, " ms before");
  }
  say_note(text, note.said);
  text_string(text, stack->count || *note.lines ? ":\n" : "\n");
  text_string(text, note.lines);
  say_stack(text, stack, 0);
}

static void say_register(struct text *text, const struct death_register *each,
                         const struct stack *stacks) {
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
  text_string(text, each->live ? "" : "what was ");
  text_with_article(text, each->size);
  text_string(text, "-byte block at ");
  text_hex(text, each->block, 1);
  text_string(text, "\n");
  say_moment(text, "    allocated", &each->history.allocated, &stacks[0]);
  say_moment(text, "    freed", &each->history.freed, &stacks[1]);
}

static void write_text(struct text *text, const struct event *event) {
  bool coloured = os_is_terminal(screen());
  char name[OS_NAME];
  os_thread_name(name);
  text_string(text, coloured ? "\033[1;31mpatalloc: " : "patalloc: ");
  sentence_write(text, event);
  text_string(text, coloured ? "\033[0m\n" : "\n");
  text_around(text, "  in thread ", os_thread_id(), " (");
  text_string(text, name);
  text_around(text, ") of process ", (uint64_t)os_process_id(), "");
  say_note(text, told.note);
  text_string(text, ":\n");
  text_string(text, told.lines);
  say_stack(text, &told.stacks[0], event->left_out);
  for (unsigned i = 0; event->death && i < event->death->count; i++)
    say_register(text, &event->death->list[i], told_of_register(&told, i));
  say_moment(text, "  allocated", &event->history.allocated, &told.stacks[1]);
  say_moment(text, "  freed", &event->history.freed, &told.stacks[2]);
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
  char buffer[SENTENCE_MOST];
  struct text text = TEXT(buffer);
  buffer[0] = 0;
  sentence_write(&text, event);
  report_line(buffer);
}

char report_said[1 << 15];

static void say_in_full(const struct event *event) {
  struct text text = TEXT(report_said);
  *report_said = 0;
  collect_stacks(event);
  event_json_write(&text, event, &told);
  if (send_json(&text)) {
    if (sink.headlines) say_in_a_line(event);
    return;
  }
  text = TEXT(report_said);
  write_text(&text, event);
  os_write(screen(), report_said, text_length(report_said));
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
