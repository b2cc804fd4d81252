/* Races, each with time to happen: a thread that is late sleeps whenever it has dropped a lock.
 * Linked with the core, built with -DPATALLOC_FAULTS.
 *
 *   races fit
 * A freed block is fitted to a smaller request, and gives address space back, which another thread
 * takes at once.
 *
 *   races publish
 * Small blocks are freed while the first large request is served (for TSan).
 *
 *   races handler
 * The program sets its handler of faults while ours is being installed.
 *
 * HEAP_OPTIONS must have threshold=32K. */
#include "base/lock.h"
#include "check.h"
#include "watch/disposition.h"

#include <signal.h>

patalloc_heap *heap;

static _Thread_local bool late;
static _Atomic bool over;

static void sleep_if_late(void) {
  if (late) usleep(300);
}

/* Blocks of one granule each, in new runs: one that is no block any more in the end has been
 * forgotten in another's place. */
static void *make_small_ones(void *unused) {
  enum { COUNT = 100000, SIZE = 50000 };
  static void *blocks[COUNT];
  for (int i = 0; i < COUNT; i++) {
    blocks[i] = malloc(SIZE);
    CHECK(blocks[i]);
    if (i % 100 == 0) usleep(100);
  }
  over = true;
  for (int i = 0; i < COUNT; i++) CHECK(malloc_usable_size(blocks[i]) >= SIZE);
  return unused;
}

/* Bytes that fill a run, so that the block begins in its first granule. */
static size_t filling(size_t granules) {
  return granules * 65536 - 2 * 4096;
}

/* What is spare has room for a run of small ones. */
static void fit(void) {
  enum { COUNT = 10, MORE = 400, LESS = 360 };
  pthread_t other;
  void *blocks[COUNT];
  CHECK(!pthread_create(&other, NULL, make_small_ones, NULL));
  late = true;
  for (size_t granules = MORE; !over; granules = MORE + LESS - granules) {
    for (int i = 0; i < COUNT; i++) CHECK((blocks[i] = malloc(filling(granules))));
    for (int i = 0; i < COUNT; i++) free(blocks[i]);
  }
  late = false;
  pthread_join(other, NULL);
}

static void *free_small_ones(void *unused) {
  while (!over) free(malloc(100));
  return unused;
}

static void publish(void) {
  pthread_t other;
  CHECK(!pthread_create(&other, NULL, free_small_ones, NULL));
  usleep(10000);
  free(malloc(1 << 20));
  usleep(10000);
  over = true;
  pthread_join(other, NULL);
}

/* As it is underneath, but that it takes its time to tell. */
static _Atomic bool told, expected_already;
static int sigaction_late(int signal, const struct sigaction *action, struct sigaction *before) {
  int result = sigaction(signal, action, before);
  if (!action && expected_already && !atomic_exchange(&told, true)) usleep(100000);
  return result;
}

static void ours(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info, (void)context;
}
static void the_programs(int signal) {
  (void)signal;
}

static void *install(void *unused) {
  disposition_install(ours, DISPOSITION_FAULTS, false);
  return unused;
}

static void handler(void) {
  pthread_t other;
  struct sigaction action = {.sa_handler = the_programs}, before;
  disposition_expect(sigaction_late);
  expected_already = true;
  CHECK(!pthread_create(&other, NULL, install, NULL));
  while (!told) continue;
  if (disposition_action(SIGSEGV, &action, &before)) CHECK(!sigaction(SIGSEGV, &action, &before));
  CHECK(before.sa_handler == SIG_DFL);
  pthread_join(other, NULL);
  CHECK(disposition_of(SIGSEGV).sa_handler == the_programs);
  CHECK(!sigaction(SIGSEGV, NULL, &before) && before.sa_sigaction == ours);
}

static const struct test_case races[] = {{"fit", fit}, {"publish", publish}, {"handler", handler}};

int main(int argc, char **argv) {
  CHECK(argc == 2);
  heap = patalloc_heap_create(getenv("HEAP_OPTIONS"), NULL, 0);
  CHECK(heap);
  lock_dropped = sleep_if_late;
  RUN_CASE(races, argv[1]);
  patalloc_heap_destroy(heap);
  return 0;
}
