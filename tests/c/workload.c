/* Threads that allocate, resize, write and free blocks at random, and check everything that the
 * heap promises: patterns, zeros, kept content, alignment, usable sizes, guards.
 *
 *   workload THREADS STEPS SEED */
#include "check.h"

enum { SLOTS = 24 };

struct block {
  unsigned char *start;
  size_t size;
  unsigned char mark;
};

static size_t page;
static int pattern;
static bool guarded, filled_small;
static int steps, seed;
static size_t threshold = 128 << 10;

static uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static size_t random_size(uint64_t *state) {
  switch (next_random(state) % 8) {
  case 0:
    return 1 + next_random(state) % 1000; /* TSan's malloc_usable_size is 1 for 0 */
  case 1:
    return next_random(state) % (8u << 20);
  case 2:
    return threshold + next_random(state) % 64 - 32;
  default:
    return next_random(state) % (1u << 20);
  }
}

static bool is_large(size_t size) {
  return size >= threshold;
}

static int fresh(size_t size) {
  return is_large(size) || filled_small ? pattern : -1;
}

/* Where slack is checked a program may use what it asked for, and no more. */
static bool slack_is_checked(void) {
  const char *own = getenv("HEAP_OPTIONS"), *options = own ? own : getenv("PATALLOC_OPTIONS");
  return options && (strstr(options, "slack_check=large") || strstr(options, "slack_check=all"));
}

static void check_edges(const struct block *block) {
  if (!is_large(block->size) || !guarded) return;
  size_t usable = malloc_usable_size(block->start);
  uintptr_t end = (uintptr_t)block->start + usable;
  if (slack_is_checked()) CHECK(usable == block->size);
  CHECK(end % page == 0 || usable == block->size); /* after calloc, too */
  end = (end + page - 1) & ~(page - 1);
  CHECK(usable >= block->size && usable - block->size < 2 * page);
  CHECK(!readable((void *)end));
  CHECK(!readable((void *)(((uintptr_t)block->start & ~(page - 1)) - 1)));
}

/* Marks the block's ends and a few bytes between. */
static void mark(struct block *block, uint64_t *state) {
  block->mark = (unsigned char)next_random(state);
  if (!block->size) return;
  for (int i = 0; i <= 8; i++) block->start[(block->size - 1) * i / 8] = block->mark;
}

/* How much of the content can be checked after a resize from `size` bytes. */
static void check_marks(const struct block *block, size_t size) {
  for (int i = 0; i <= 8 && block->size; i++) {
    size_t at = (block->size - 1) * i / 8;
    if (at < size) CHECK(block->start[at] == block->mark);
  }
}

static void allocate(struct block *block, uint64_t *state) {
  block->size = random_size(state);
  size_t alignment = (size_t)16 << next_random(state) % 18;
  switch (next_random(state) % 4) {
  case 0:
    block->start = calloc(1, block->size);
    CHECK(block->start && holds(block->start, block->size, 0));
    break;
  case 1:
    block->start = aligned_alloc(alignment, block->size);
    CHECK(block->start && (uintptr_t)block->start % alignment == 0);
    CHECK(holds(block->start, block->size, fresh(block->size)));
    break;
  default:
    block->start = malloc(block->size);
    CHECK(block->start && (uintptr_t)block->start % 16 == 0);
    CHECK(holds(block->start, block->size, fresh(block->size)));
  }
  check_edges(block);
  mark(block, state);
}

static void resize(struct block *block, uint64_t *state) {
  size_t size = random_size(state) + 1, before = block->size;
  unsigned char *moved = realloc(block->start, size);
  CHECK(moved);
  block->start = moved;
  check_marks(block, size);
  block->size = size;
  if (size > before) CHECK(holds(moved + before, size - before, before ? fresh(size) : -1));
  check_edges(block);
  mark(block, state);
}

static void *work(void *argument) {
  uint64_t state = (uint64_t)(uintptr_t)argument * 0x9e3779b97f4a7c15u + (uint64_t)seed + 1;
  struct block blocks[SLOTS] = {{0}};
  for (int i = 0; i < steps; i++) {
    struct block *block = &blocks[next_random(&state) % SLOTS];
    if (!block->start) {
      allocate(block, &state);
    } else if (next_random(&state) % 3 == 0) {
      resize(block, &state);
    } else {
      check_marks(block, block->size);
      free(block->start);
      block->start = NULL;
    }
  }
  for (int i = 0; i < SLOTS; i++) free(blocks[i].start);
  return NULL;
}

#ifdef HEAP
patalloc_heap *heap;
#endif

int main(int argc, char **argv) {
  CHECK(argc == 4);
  int threads = atoi(argv[1]);
  steps = atoi(argv[2]);
  seed = atoi(argv[3]);
  page = (size_t)sysconf(_SC_PAGESIZE);
  pattern = expected();
  guarded = !getenv("UNGUARDED");
  filled_small = true;
#ifdef HEAP
  char complaint[512] = "";
  heap = patalloc_heap_create(getenv("HEAP_OPTIONS"), complaint, sizeof complaint);
  if (!heap) fprintf(stderr, "%s\n", complaint);
  CHECK(heap);
#endif
  pthread_t others[64];
  for (int i = 1; i < threads; i++)
    CHECK(!pthread_create(&others[i], NULL, work, (void *)(uintptr_t)i));
  work(NULL);
  for (int i = 1; i < threads; i++) pthread_join(others[i], NULL);
#ifdef HEAP
  patalloc_heap_destroy(heap);
#endif
  return 0;
}
