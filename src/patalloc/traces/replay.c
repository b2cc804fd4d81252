/* replay PLAN: does what a plan (plan.h) says, by the malloc that it runs with, and prints what
 * that took as JSON. Each thread of the plan is one here; it waits for another one where it frees
 * or resizes a block of that, and where it would get far ahead: so what was live at a time is live
 * at a time. A page that was written is written, one byte of it. */
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { AHEAD = 1 << 13, LOOKS = 64 };

struct slot {
  void *block;
  _Atomic uint32_t turns;
};

struct thread {
  const struct plan_step *steps;
  uint64_t count, cpu, waited;
  uint64_t clear;          /* up to which event it need not look where others are */
  _Atomic uint64_t number; /* of the event that is next */
  pthread_t thread;
  char apart[64];
};

static const struct plan_head *head;
static const struct plan_run *runs;
static uint64_t *starts; /* of runs, by touch */
static struct slot *slots;
static struct thread *threads;
static size_t page;
static pthread_barrier_t barrier;
static _Atomic uint64_t failed; /* requests, and steps out of turn */

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "replay: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void *map(size_t size) {
  void *mapped = mmap(NULL, size + !size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (mapped == MAP_FAILED) fail("mmap");
  return mapped;
}

static uint64_t nanoseconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Who waits says where it is, or others would wait for it; what it takes meanwhile is not the
 * allocator's. */
static uint64_t begin_waiting(struct thread *self, uint64_t number) {
  atomic_store_explicit(&self->number, number, memory_order_release);
  return nanoseconds(CLOCK_THREAD_CPUTIME_ID);
}

static void end_waiting(struct thread *self, uint64_t begun) {
  self->waited += nanoseconds(CLOCK_THREAD_CPUTIME_ID) - begun;
}

static void wait_for_turn(struct thread *self, const struct slot *slot,
                          const struct plan_step *step) {
  if (atomic_load_explicit(&slot->turns, memory_order_acquire) == step->turn) return;
  uint64_t begun = begin_waiting(self, step->number);
  for (int i = 0; atomic_load_explicit(&slot->turns, memory_order_acquire) != step->turn; i++)
    if (i > LOOKS) sched_yield();
  end_waiting(self, begun);
}

/* The one that is furthest behind never waits here, and what it waits for is behind it. */
static void wait_for_others(struct thread *self, uint64_t number) {
  uint64_t begun = begin_waiting(self, number), least = UINT64_MAX - AHEAD;
  for (uint32_t i = 0; i < head->threads; i++) {
    uint64_t other;
    if (&threads[i] == self) continue;
    while ((other = atomic_load_explicit(&threads[i].number, memory_order_acquire)) + AHEAD <
           number)
      sched_yield();
    if (other < least) least = other;
  }
  self->clear = least + AHEAD;
  end_waiting(self, begun);
}

static void touch_pages(char *block, const struct plan_step *step) {
  if (!block || !step->size) return;
  if (!step->touch || starts[step->touch] == starts[step->touch + 1]) {
    for (size_t at = 0; at < step->size; at += page) ((volatile char *)block)[at] = 1;
    ((volatile char *)block)[step->size - 1] = 1;
    return;
  }
  char *first = block - (uintptr_t)block % page;
  for (uint64_t i = starts[step->touch]; i < starts[step->touch + 1]; i++)
    for (uint64_t at = runs[i].first; at < (uint64_t)runs[i].first + runs[i].pages; at++) {
      char *place = first + at * page;
      if (place < block) place = block;
      if (place < block + step->size) *(volatile char *)place = 1;
    }
}

static void take_step(struct thread *self, const struct plan_step *step) {
  struct slot *slot = &slots[step->slot];
  void *made = NULL;
  if (step->turn) wait_for_turn(self, slot, step);
  switch ((enum trace_kind)step->kind) {
  case TRACE_MALLOC:
    made = malloc(step->size);
    break;
  case TRACE_CALLOC:
    made = calloc(1, step->size);
    break;
  case TRACE_ALIGNED:
    made = memalign((size_t)1 << step->alignment, step->size);
    break;
  case TRACE_RESIZE:
    made = realloc(slot->block, step->size);
    break;
  default:
    if (!slot->block) failed++; /* before its malloc, which waiting is to prevent */
    free(slot->block);
  }
  if (step->kind != TRACE_FREE) {
    if (!made && step->size) failed++;
    touch_pages(made, step);
  }
  slot->block = made;
  atomic_fetch_add_explicit(&slot->turns, 1, memory_order_release);
}

static void *run(void *argument) {
  struct thread *self = argument;
  pthread_barrier_wait(&barrier);
  uint64_t begun = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  for (uint64_t i = 0; i < self->count; i++) {
    uint64_t number = self->steps[i].number;
    if (head->threads > 1 && i % LOOKS == 0)
      atomic_store_explicit(&self->number, number, memory_order_release);
    if (head->threads > 1 && number > self->clear) wait_for_others(self, number);
    take_step(self, &self->steps[i]);
  }
  self->cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - begun - self->waited;
  atomic_store_explicit(&self->number, UINT64_MAX - AHEAD, memory_order_release);
  pthread_barrier_wait(&barrier);
  return NULL;
}

static long status(const char *name) {
  static char text[8192];
  int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  text[length < 0 ? 0 : length] = 0;
  const char *found = strstr(text, name);
  return found ? atol(found + strlen(name)) : -1;
}

/* proc(5): the peak of the resident set is counted anew. */
static void reset_peak(void) {
  int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, "5", 1) != 1) fail("/proc/self/clear_refs");
  close(file);
}

static void read_plan(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat facts;
  if (file < 0 || fstat(file, &facts)) fail(path);
  const char *plan =
      mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  if (plan == MAP_FAILED) fail(path);
  close(file);
  head = (const void *)plan;
  const uint64_t *counts = (const void *)(head + 1);
  runs = (const void *)(counts + head->threads);
  size_t bytes = head->runs * sizeof *runs;
  const struct plan_step *steps = (const void *)((const char *)runs + bytes + bytes % 8);
  threads = map(head->threads * sizeof *threads);
  for (uint32_t i = 0; i < head->threads; i++) {
    threads[i].steps = steps;
    threads[i].count = counts[i];
    threads[i].number = counts[i] ? steps[0].number : 0;
    steps += counts[i];
  }
  slots = map(head->slots * sizeof *slots);
  starts = map((head->touches + 2) * sizeof *starts);
  for (uint64_t i = 0; i < head->runs; i++) starts[runs[i].touch + 1]++;
  for (uint64_t i = 0; i <= head->touches; i++) starts[i + 1] += starts[i];
}

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: replay PLAN\n"), 2;
  page = (size_t)sysconf(_SC_PAGESIZE);
  read_plan(argv[1]);
  pthread_barrier_init(&barrier, NULL, head->threads + 1);
  for (uint32_t i = 0; i < head->threads; i++)
    if ((errno = pthread_create(&threads[i].thread, NULL, run, &threads[i])))
      fail("pthread_create");
  reset_peak();
  long before = status("VmRSS:");
  uint64_t begun = nanoseconds(CLOCK_MONOTONIC), cpu = 0;
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  uint64_t wall = nanoseconds(CLOCK_MONOTONIC) - begun;
  long peak = status("VmHWM:"), after = status("VmRSS:");
  for (uint32_t i = 0; i < head->threads; i++) {
    pthread_join(threads[i].thread, NULL);
    cpu += threads[i].cpu;
  }
  printf("{\"wall\": %.9f, \"cpu\": %.9f, \"peak\": %ld, \"after\": %ld, \"failed\": %lu}\n",
         (double)wall / 1e9, (double)cpu / 1e9, (peak - before) * 1024, (after - before) * 1024,
         (unsigned long)failed);
  return 0;
}
