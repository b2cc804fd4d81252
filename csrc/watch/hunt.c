/* Hunts (see hunt.h). */
#include "watch/hunt.h"

#include "os/destination.h"
#include "os/process.h"
#include "pages/fill.h"
#include "watch/code.h"
#include "watch/fault.h"
#include "watch/mappings.h"
#include "watch/report.h"
#include "watch/residue.h"
#include "watch/serve.h"
#include "watch/stack.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct selection *selection; /* set once, before there are threads */

/* Kept, as the heap may be gone when the process forks. */
static char trace_name[DESTINATION_MOST], select_name[DESTINATION_MOST];

enum { BESIDE_MOST = DESTINATION_MOST + sizeof ".mappings" };

/* The name of a file beside the trace's. */
static const char *beside_trace(char *name, const char *ending) {
  struct text text = {name, BESIDE_MOST, 0};
  text_string(&text, trace_name);
  text_string(&text, ending);
  return name;
}

static int process; /* whose blocks these are: not a child's of vfork(2), which ends in _exit(2) */

/* What has a process's number in its name is for that process alone. */
static void restart_in_child(void) {
  process = os_process_id();
  if (text_after(select_name, "%p")) selection = NULL;
  if (text_after(trace_name, "%p") && !stack_trace_to(trace_name))
    report_line("trace: the file of a forked child can't be made; it counts in its parent's");
}

void hunt_start(const struct options *options) {
  static _Atomic bool started;
  if (atomic_exchange(&started, true)) return;
  memcpy(trace_name, options->trace, sizeof trace_name);
  memcpy(select_name, options->select, sizeof select_name);
  process = os_process_id();
  pthread_atfork(NULL, NULL, restart_in_child);
  if (*options->trace && !stack_trace_to(options->trace))
    report_line("trace: the file can't be made; allocations are not counted");
  /* None is no error where the process's number is in the name: it is for another process then. */
  if (*options->select) selection = selection_read(options->select);
  if (*options->select && !selection && !(errno == ENOENT && text_after(options->select, "%p")))
    report_line(
        "select: the file can't be read, or is none that patalloc hunt has made; nothing is "
        "selected");
  if (!*options->trace || !*options->select) return;
  if (selection && selection->flags & SELECTION_SERVES) serve_prepare();
  char name[BESIDE_MOST];
  if (!residue_start(beside_trace(name, ".residue")))
    report_line("trace: the file beside it can't be made; what is never written is not recorded");
  fault_watch(false); /* for what is read and may be gone */
}

static uint32_t take_stack(const struct options *options) {
  return stack_frames(options) ? stack_record(options) : stack_take(HUNT_FRAMES);
}

/* In each process that goes on from here, with the selection that is there for it. */
RARE static const struct selection *serve_others(void) {
  int error = errno;
  sigset_t all, before; /* what handlers change here all that are forked later would have */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  char own[DESTINATION_MOST];
  struct text text = TEXT(own);
  text_span(&text, trace_name, text_until(trace_name, text_length(trace_name), '%'));
  bool serves = serve_begin(select_name, own);
  while (serves && serve_wait()) {
    const struct selection *next = selection_read(select_name);
    enum served served = next ? serve_fork() : SERVE_FAILED;
    if (served == SERVE_IN_CHILD) {
      pthread_sigmask(SIG_SETMASK, &before, NULL);
      return errno = error, next;
    }
    selection_drop(next);
    serves = served == SERVE_DONE;
  }
  _exit(1);
}

struct chosen hunt_count(const struct options *options, size_t size) {
  struct chosen chosen = {0};
  chosen.number = stack_count(take_stack(options), size, &chosen.stack);
  if (!selection) return chosen;
  chosen.choice = selection_find(selection, chosen.stack, chosen.number);
  if (selection->flags & SELECTION_SERVES && chosen.choice.count) {
    selection = serve_others();
    chosen.choice = selection_find(selection, chosen.stack, chosen.number);
  }
  if (chosen.stack && chosen.stack == selection->stop_stack &&
      chosen.number == selection->stop_number)
    abort();
  return chosen;
}

void hunt_count_zeros(const struct options *options, size_t size) {
  stack_count_zeros(take_stack(options), size);
}

bool hunt_part(const struct chosen *chosen, size_t index, uintptr_t start, uintptr_t *from,
               uintptr_t *end) {
  const struct part *part = &chosen->choice.parts[index];
  uint64_t size = *end - start;
  uintptr_t low = part->from < size ? start + part->from : *end;
  if (*from < low) *from = low;
  if (part->to < size) *end = start + part->to;
  return *from < *end;
}

bool hunt_leaves_freed(void) {
  return selection && selection->flags & SELECTION_LEAVES_FREED;
}

bool hunt_is_stale(const struct chosen *chosen, size_t index) {
  return chosen->choice.parts[index].pattern_size == PART_STALE;
}

/* Codes */

enum { CODED_MOST = 1 << 26 }; /* bytes of a block in which each word has its own */

static uint64_t key_for(const struct chosen *chosen, uint64_t salt, size_t size) {
  return size > CODED_MOST ? code_key(salt, 0, 0) : code_key(salt, chosen->stack, chosen->number);
}

bool hunt_pattern(const struct chosen *chosen, size_t index, size_t size, struct pattern *pattern) {
  const struct part *part = &chosen->choice.parts[index];
  bool coded = !part->pattern_size;
  if (hunt_is_stale(chosen, index)) return false;
  if (coded && size <= CODED_MOST) return false;
  *pattern = coded ? (struct pattern){code_word(key_for(chosen, part->word, size), 0), 8}
                   : (struct pattern){part->word, (uint8_t)part->pattern_size};
  return true;
}

void hunt_fill(const struct chosen *chosen, size_t index, uintptr_t start, uintptr_t from,
               uintptr_t end) {
  const struct part *part = &chosen->choice.parts[index];
  if (hunt_is_stale(chosen, index)) return;
  if (part->pattern_size)
    fill_pattern((struct pattern){part->word, (uint8_t)part->pattern_size}, (void *)from,
                 end - from);
  else
    code_fill(code_key(part->word, chosen->stack, chosen->number), (void *)start, from - start,
              end - start);
}

void hunt_made(const struct chosen *chosen, const void *block, size_t size) {
  const struct part *part = chosen->choice.parts;
  if (!selection || !selection->salt || chosen->choice.count != 1) return;
  if (part->pattern_size || part->word != selection->salt || part->from || part->to < size) return;
  residue_know(&(struct known_block){(uintptr_t)block, size, chosen->stack, chosen->number,
                                     key_for(chosen, part->word, size), size > CODED_MOST});
}

void hunt_freed(const void *block) {
  residue_look(block);
}

void hunt_end(void) {
  bool looks = selection &&
               (selection->salt || selection->flags & SELECTION_MAPPINGS); /* else no system call */
  if (!looks || process != os_process_id()) return;
  if (selection->salt) residue_look_at_all();
  char name[BESIDE_MOST];
  if (selection->flags & SELECTION_MAPPINGS && *trace_name)
    mappings_write(beside_trace(name, ".mappings"));
}
