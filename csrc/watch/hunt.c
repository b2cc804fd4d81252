/* Hunts (see hunt.h). A selection is a file that src/patalloc/hunt/selection.py writes: a header,
 * and parts in order of stack and number, those of any stack first. */
#include "watch/hunt.h"

#include "os/destination.h"
#include "os/memory.h"
#include "watch/report.h"
#include "watch/stack.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct selection {
  char magic[8];
  uint64_t word;
  uint32_t pattern_size, unused;
  uint64_t stop_stack, stop_number; /* the allocation to stop at; 0: none */
  uint64_t count;
  struct part parts[];
};

static const char magic[8] = "patsel1\n";
static const struct selection *selection; /* set once, before there are threads */

/* Sound, so that nothing else is checked later. */
static bool is_sound(const struct selection *read, size_t size) {
  if (size < sizeof *read || memcmp(read->magic, magic, sizeof magic)) return false;
  if (read->count != (size - sizeof *read) / sizeof(struct part)) return false;
  if (!read->pattern_size || read->pattern_size > sizeof(uint64_t)) return false;
  for (size_t i = 1; i < read->count; i++) {
    const struct part *before = &read->parts[i - 1], *part = &read->parts[i];
    if (before->stack > part->stack || (before->stack == part->stack && before->last > part->last))
      return false;
  }
  return true;
}

/* None is no error where the process's number is in the name: it is for another process then. */
static bool copy_selection(int descriptor, void *unused) {
  size_t size = 0;
  struct selection *read = os_copy_file(descriptor, &size);
  (void)unused;
  if (read && is_sound(read, size)) return selection = read, true;
  if (read) os_unmap(read, page_up(size));
  return errno = EINVAL, false;
}

static bool read_selection(const char *path) {
  struct os_identity identity;
  destination_identify(path, &identity);
  return destination_visit(path, &identity, OPEN_READ, copy_selection, NULL) ||
         (errno == ENOENT && text_after(path, "%p"));
}

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
  stack_identify();
  pthread_atfork(NULL, NULL, restart_in_child);
  if (*options->trace && !stack_trace_to(options->trace))
    report_line("trace: the file can't be made; allocations are not counted");
  if (*options->select && !read_selection(options->select))
    report_line(
        "select: the file can't be read, or is none that patalloc hunt has made; nothing is "
        "selected");
}

struct pattern hunt_pattern(const struct options *options) {
  if (!selection) return options->pattern;
  return (struct pattern){selection->word, (uint8_t)selection->pattern_size};
}

/* The first part of the stack that does not end before the number. */
static size_t first_part(uint64_t stack, uint64_t number) {
  size_t low = 0, high = selection->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const struct part *part = &selection->parts[middle];
    if (part->stack < stack || (part->stack == stack && part->last < number))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static struct choice choose(uint64_t stack, uint64_t number) {
  size_t first = first_part(stack, number), end = first;
  const struct part *parts = selection->parts;
  while (end < selection->count && parts[end].stack == stack && parts[end].first <= number) end++;
  return (struct choice){parts + first, end - first};
}

struct choice hunt_count(const struct options *options, size_t size) {
  uint64_t stack = 0, number = stack_count(stack_record(options), size, &stack);
  if (!selection) return (struct choice){NULL, 0};
  if (stack && stack == selection->stop_stack && number == selection->stop_number) abort();
  struct choice choice = choose(stack, number);
  return choice.count ? choice : choose(0, 1); /* that of any stack */
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
