/* Hunts (see hunt.h). */
#include "watch/hunt.h"

#include "os/destination.h"
#include "watch/report.h"
#include "watch/stack.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const struct selection *selection; /* set once, before there are threads */

/* Kept, as the heap may be gone when the process forks. */
static char trace_name[DESTINATION_MOST], select_name[DESTINATION_MOST];

/* What has a process's number in its name is for that process alone. */
static void restart_in_child(void) {
  if (text_after(select_name, "%p")) selection = NULL;
  if (text_after(trace_name, "%p") && !stack_trace_to(trace_name))
    report_line("trace: the file of a forked child can't be made; it counts in its parent's");
}

void hunt_start(const struct options *options) {
  static _Atomic bool started;
  if (atomic_exchange(&started, true)) return;
  memcpy(trace_name, options->trace, sizeof trace_name);
  memcpy(select_name, options->select, sizeof select_name);
  pthread_atfork(NULL, NULL, restart_in_child);
  if (*options->trace && !stack_trace_to(options->trace))
    report_line("trace: the file can't be made; allocations are not counted");
  /* None is no error where the process's number is in the name: it is for another process then. */
  if (*options->select) selection = selection_read(options->select);
  if (*options->select && !selection && !(errno == ENOENT && text_after(options->select, "%p")))
    report_line(
        "select: the file can't be read, or is none that patalloc hunt has made; nothing is "
        "selected");
}

struct pattern hunt_pattern(const struct options *options) {
  if (!selection) return options->pattern;
  return (struct pattern){selection->word, (uint8_t)selection->pattern_size};
}

static uint32_t take_stack(const struct options *options) {
  return stack_frames(options) ? stack_record(options) : stack_take(HUNT_FRAMES);
}

struct choice hunt_count(const struct options *options, size_t size) {
  uint64_t stack = 0, number = stack_count(take_stack(options), size, &stack);
  if (!selection) return (struct choice){NULL, 0};
  if (stack && stack == selection->stop_stack && number == selection->stop_number) abort();
  return selection_find(selection, stack, number);
}

void hunt_count_zeros(const struct options *options, size_t size) {
  stack_count_zeros(take_stack(options), size);
}

bool hunt_part(const struct choice *choice, size_t index, uintptr_t start, uintptr_t *from,
               uintptr_t *end) {
  const struct part *part = &choice->parts[index];
  uint64_t size = *end - start;
  uintptr_t low = part->from < size ? start + part->from : *end;
  if (*from < low) *from = low;
  if (part->to < size) *end = start + part->to;
  return *from < *end;
}
