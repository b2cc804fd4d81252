/* Allocations in a loop (see raw.h). */
#include "raw.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

struct worker {
  const struct raw_plan *plan;
  struct raw_times times;
  uint64_t state; /* of SplitMix64 */
  int error;
} __attribute__((aligned(128))); /* no cache line, nor a pair of them, of two threads */

struct block {
  char *start;
  size_t size;
};

static uint64_t chance(struct worker *worker) {
  uint64_t word = worker->state += 0x9e3779b97f4a7c15;
  word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
  word = (word ^ word >> 27) * 0x94d049bb133111eb;
  return word ^ word >> 31;
}

static bool take(struct worker *worker, struct block *blocks) {
  const struct raw_plan *plan = worker->plan;
  for (size_t i = 0; i < plan->live; i++)
    blocks[i] = (struct block){NULL, plan->sizes[chance(worker) % plan->sizes_count]};
  uint64_t begun = now();
  for (size_t i = 0; i < plan->live; i++)
    blocks[i].start = plan->take ? plan->take(plan->heap, blocks[i].size) : malloc(blocks[i].size);
  worker->times.take += now() - begun;
  bool all = true;
  for (size_t i = 0; i < plan->live; i++) {
    all = all && blocks[i].start;
    worker->times.bytes += blocks[i].size;
  }
  worker->times.blocks += plan->live;
  return all;
}

/* Every so many pages, by a fraction that goes on from block to block. */
static void touch(struct worker *worker, const struct block *blocks) {
  const struct raw_plan *plan = worker->plan;
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  double due = 1;
  uint64_t begun = now();
  for (size_t i = 0; i < plan->live; i++)
    for (size_t at = 0; at < blocks[i].size; at += page, due += plan->density) {
      if (due < 1) continue;
      ((volatile char *)blocks[i].start)[at] = 1;
      worker->times.pages++;
      due -= 1;
    }
  worker->times.touch += now() - begun;
}

static void give(struct worker *worker, struct block *blocks) {
  const struct raw_plan *plan = worker->plan;
  uint64_t begun = now();
  for (size_t i = 0; i < plan->live; i++)
    if (plan->give)
      plan->give(plan->heap, blocks[i].start);
    else
      free(blocks[i].start);
  worker->times.give += now() - begun;
}

static void *work(void *context) {
  struct worker *worker = context;
  struct block *blocks = calloc(worker->plan->live, sizeof *blocks);
  for (size_t i = 0; blocks && i < worker->plan->batches && !worker->error; i++) {
    if (!take(worker, blocks))
      worker->error = ENOMEM;
    else if (worker->plan->density > 0)
      touch(worker, blocks);
    give(worker, blocks);
  }
  if (!blocks) worker->error = ENOMEM;
  free(blocks);
  return NULL;
}

static void add(struct raw_times *all, const struct raw_times *times) {
  all->take += times->take, all->touch += times->touch, all->give += times->give;
  all->blocks += times->blocks, all->bytes += times->bytes, all->pages += times->pages;
}

int raw_run(const struct raw_plan *plan, struct raw_times *times) {
  size_t size = plan->threads * sizeof(struct worker);
  struct worker *workers = aligned_alloc(_Alignof(struct worker), size);
  pthread_t *others = calloc(plan->threads, sizeof *others);
  int error = workers && others ? 0 : ENOMEM;
  unsigned made = 0;
  *times = (struct raw_times){0};
  uint64_t begun = now();
  for (; !error && made < plan->threads; made++) {
    workers[made] = (struct worker){.plan = plan, .state = plan->seed + made};
    if (made) error = pthread_create(&others[made], NULL, work, &workers[made]);
    if (error) break;
  }
  if (made) work(&workers[0]);
  for (unsigned i = 0; i < made; i++) {
    if (i) pthread_join(others[i], NULL);
    if (!error) error = workers[i].error;
    add(times, &workers[i].times);
  }
  times->wall = now() - begun;
  free(workers);
  free(others);
  return error;
}
