/* Every system call of the core is made to fail: once, at its first, second, ... time, and from
 * then on for ever; and another one with it from then on, as on a way back. Whatever the heap still
 * hands out must be right, and nothing may be lost.
 *
 *   HEAP_OPTIONS=... faults [CALL...]      linked with the core, built with PATALLOC_FAULTS */
#include "check.h"
#include "os/call.h"

#include <sys/wait.h>

patalloc_heap *heap;

static const char *failing, *failing_then; /* the second may be NULL */
static int countdown;
static bool lasting, failed;

enum { NOTHING_FAILED = 77 };

static int fault(const char *call) {
  if (failed && failing_then && !strcmp(call, failing_then)) {
    if (!lasting) failing_then = NULL;
    return ENOMEM;
  }
  if (strcmp(call, failing)) return 0;
  if (countdown > 0) return countdown--, 0;
  if (!lasting && countdown < 0) return 0;
  countdown = -1;
  failed = true;
  return ENOMEM;
}

static void check_fresh(const unsigned char *start, size_t size) {
  /* Zeros are the last resort, for a block whose memset would not fit in memory. */
  if (start) CHECK(holds(start, size, 0xab) || holds(start, size, 0));
}

static void fill(unsigned char *start, size_t size) {
  if (start) memset(start, 0x11, size);
}

static unsigned char *grow(unsigned char *block, size_t from, size_t to) {
  unsigned char *moved = realloc(block, to);
  if (!moved) {
    if (block) CHECK(holds(block, from, 0x11));
    return block;
  }
  if (block) CHECK(holds(moved, from, 0x11));
  struct patalloc_block found;
  if (!strcmp(failing, "mremap of half") && !patalloc_inspect(heap, moved, &found)) {
    uintptr_t end = ((uintptr_t)moved + malloc_usable_size(moved) + 4095) & ~(uintptr_t)4095;
    CHECK(!readable((void *)end));
  }
  if (block && to > from) check_fresh(moved + from, to - from);
  return moved;
}

/* A little of everything. */
static void scenario(void) {
  enum { BLOCKS = 24 };
  unsigned char *blocks[BLOCKS];
  size_t size = 300000;
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < BLOCKS; i++) {
      check_fresh(blocks[i] = malloc(size), size);
      fill(blocks[i], size);
    }
    for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
  }
  unsigned char *zeros = calloc(3, size), *aligned = aligned_alloc(1 << 20, size);
  if (zeros) CHECK(holds(zeros, 3 * size, 0));
  check_fresh(aligned, size);
  fill(zeros, 3 * size);
  fill(aligned, size);
  zeros = grow(zeros, 3 * size, 9 * size);
  aligned = grow(aligned, size, 20 * size);
  unsigned char *big = malloc(5 << 20);
  check_fresh(big, 5 << 20);
  fill(big, 5 << 20);
  unsigned char *bigger = grow(big, 5 << 20, 40 << 20);
  if (bigger) CHECK(holds(bigger, 5 << 20, 0x11));
  bigger = grow(bigger, 200000, 200000);
  free(zeros);
  free(aligned);
  free(bigger);
  free(malloc((5 << 20) - 100000));
  patalloc_release(heap);
}

/* Two blocks of a size that is written throughout, then two that are a page smaller: the second
 * of each comes from memory that is filled beforehand and kept. */
static void dense_scenario(void) {
  size_t size = 3 << 20;
  for (int round = 0; round < 8; round++) {
    size_t now = round > 4 && round % 2 ? size - 4096 : size;
    unsigned char *first = malloc(now), *second = malloc(now);
    check_fresh(first, now);
    check_fresh(second, now);
    fill(first, now);
    fill(second, now);
    free(second);
    free(first);
  }
}

/* Blocks written here and there, whose pages are searched for; and then one page of a larger one.
 */
static void scattered_scenario(void) {
  size_t size = 2 << 20, page = 4096;
  for (int round = 0; round < 12; round++) {
    unsigned char *block = malloc(size);
    check_fresh(block, size);
    for (size_t at = page; block && at < size; at += 16 * page) block[at] = 0x11;
    free(block);
  }
  for (int round = 0; round < 4; round++) {
    unsigned char *blocks[24];
    for (int i = 0; i < 24; i++) {
      check_fresh(blocks[i] = malloc(200000), 200000);
      if (blocks[i]) blocks[i][0] = blocks[i][100000 + 4096 * round] = 0x11;
    }
    for (int i = 0; i < 24; i++) free(blocks[i]);
  }
}

/* Small blocks in slots, with guard_small: some outlive the others of their chunk. */
static void small_scenario(void) {
  enum { BLOCKS = 600, SIZE = 100, ROUNDS = 4 };
  static unsigned char *small[BLOCKS];
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < BLOCKS; i++) {
      if (i % 50 || !round) CHECK((small[i] = malloc(SIZE)) && holds(small[i], SIZE, 0xab));
      memset(small[i], 0x11, SIZE);
    }
    for (int i = 0; i < BLOCKS; i++) {
      CHECK(holds(small[i], SIZE, 0x11));
      if (i % 50 || round == ROUNDS - 1) free(small[i]);
    }
  }
}

static int run(const char *options) {
  heap = patalloc_heap_create(options, NULL, 0);
  if (!heap) return 0;
  small_scenario();
  scenario();
  dense_scenario();
  scattered_scenario();
  patalloc_heap_destroy(heap);
  return 0;
}

/* False where there were fewer calls than that. */
static bool check_case(const char *call, const char *then, int after, bool for_ever) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (!child) {
    failing = call;
    failing_then = then;
    countdown = after;
    lasting = for_ever;
    os_fault = fault;
    int status = run(getenv("HEAP_OPTIONS"));
    _exit(status || failed ? status : NOTHING_FAILED);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == NOTHING_FAILED) return false;
  if (status) {
    fprintf(stderr, "status %d where %s, then %s, fails %s from call %d on\n", status, call,
            then ? then : "nothing", for_ever ? "always" : "once", after);
    _exit(1);
  }
  return true;
}

static void check_call(const char *call, const char *then) {
  for (int after = 0; after < 150; after += 1 + after / 4)
    if (!check_case(call, then, after, false) || !check_case(call, then, after, true)) return;
}

int main(int argc, char **argv) {
  static const char *const calls[] = {
      "mmap",         "munmap", "mprotect",        "mremap",         "madvise",
      "memfd_create", "pwrite", "fcntl",           "open",           "fstat",
      "ioctl",        "pread",  "process_madvise", "mremap of half", "process_madvise of half"};
  static const char *const pairs[][2] = {
      {"mremap", "mmap"},   {"mremap of half", "mmap"}, {"mremap of half", "mremap"},
      {"mremap", "munmap"}, {"mmap", "munmap"},         {"process_madvise of half", "madvise"},
      {"madvise", "mmap"},  {"madvise", "mprotect"}};
  for (int i = 1; i < argc; i++) check_call(argv[i], NULL);
  for (size_t i = 0; argc == 1 && i < sizeof calls / sizeof *calls; i++) check_call(calls[i], NULL);
  for (size_t i = 0; argc == 1 && i < sizeof pairs / sizeof *pairs; i++)
    check_call(pairs[i][0], pairs[i][1]);
  return 0;
}
