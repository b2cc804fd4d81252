/* Small blocks with a guard each: they hold the pattern, end at their guards, keep what is written,
 * and when they are freed nothing is there any more; for threads, and in a forked child.
 *
 *   slots [THREADS]    linked with the core; HEAP_OPTIONS has guard_small=all */
#include "check.h"

#include "blocks/slot.h"
#include "pages/region.h"

#include <sys/wait.h>

patalloc_heap *heap;

enum { LIVE = 1500, STEPS = 60000, PAGE = 4096 };

static bool is_guarded(const void *block) {
  return chunk_holds((uintptr_t)block) || region_holds(block);
}

static void check_fresh(unsigned char *block, size_t size) {
  uintptr_t end = ((uintptr_t)block + size + 15) & ~(uintptr_t)15;
  CHECK(block && is_guarded(block) && (uintptr_t)block % 16 == 0);
  CHECK(holds(block, size, 0xab));
  CHECK(end % PAGE == 0 && !readable((void *)end));
}

/* All of them guarded: in a child that threads were forked beside ASan's own malloc may hang.
 * Blocks of all sizes that are replaced by chance: chunks die, and their pages move on. */
static void *churn(void *which) {
  static _Thread_local unsigned char *blocks[LIVE];
  static _Thread_local size_t sizes[LIVE];
  unsigned seed = 1 + (unsigned)(long)which;
  for (int step = 0; step < STEPS; step++) {
    int i = rand_r(&seed) % LIVE;
    if (blocks[i]) CHECK(holds(blocks[i], sizes[i], i & 0x7f));
    free(blocks[i]);
    sizes[i] = (size_t)(rand_r(&seed) % (step % 10 ? 200 : 3 * PAGE));
    blocks[i] = malloc(sizes[i]);
    if (step % 50)
      CHECK(blocks[i] && holds(blocks[i], sizes[i], 0xab));
    else
      check_fresh(blocks[i], sizes[i]);
    memset(blocks[i], i & 0x7f, sizes[i]);
  }
  for (int i = 0; i < LIVE; i++) {
    if (blocks[i]) CHECK(holds(blocks[i], sizes[i], i & 0x7f));
    free(blocks[i]);
  }
  return NULL;
}

/* As many frees later as a block may wait. */
static void freed_blocks_are_out_of_reach(void) {
  enum { BLOCKS = 2000, LATER = 9000 };
  static void *blocks[BLOCKS];
  void *straggler = malloc(50);
  for (int i = 0; i < BLOCKS; i++) blocks[i] = malloc((size_t)i);
  for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
  for (int i = 0; i < LATER; i++) free(malloc(10));
  for (int i = 0; i < BLOCKS; i++) CHECK(!readable(blocks[i]));
  check_fresh(straggler, 50);
  free(straggler);
}

static bool any_moved_in_pieces(void) {
  bool marked = false, any = false;
  for (uint32_t number = 1; number < chunk_count(); number++) {
    marked |= chunk_table[number].made && chunk_table[number].guards == GUARDS_MARKED;
    any |= chunk_table[number].worn;
  }
  return any || !marked || strstr(getenv("HEAP_OPTIONS"), "delay=0");
}

/* Where a few of a chunk live on the rest is moved in runs, and what comes there has its guards. */
static void runs_move_on(void) {
  enum { BLOCKS = 1024, EACH = 60, ROUNDS = 40, LATER = 6000 };
  static unsigned char *blocks[BLOCKS];
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < BLOCKS; i++) {
      check_fresh(blocks[i] = malloc((size_t)(i + 1)), (size_t)(i + 1));
      CHECK(!readable((void *)(((uintptr_t)blocks[i] & -(uintptr_t)PAGE) - 1)));
      memset(blocks[i], i & 0x7f, (size_t)(i + 1));
    }
    for (int i = 0; i < BLOCKS; i++)
      if (i % EACH) free(blocks[i]);
    for (int i = 0; i < LATER; i++) free(malloc(10));
    for (int i = 0; i < BLOCKS; i++)
      if (i % EACH) CHECK(!readable(blocks[i]));
    for (int i = 0; i < BLOCKS; i += EACH) {
      CHECK(holds(blocks[i], (size_t)(i + 1), i & 0x7f));
      CHECK(!readable((void *)(((uintptr_t)blocks[i] | (PAGE - 1)) + 1)));
      free(blocks[i]);
    }
  }
  CHECK(any_moved_in_pieces());
}

static void family(void) {
  unsigned char *zeros = calloc(10, 33), *block = malloc(0);
  CHECK(is_guarded(zeros) && holds(zeros, 330, 0) && malloc_usable_size(zeros) == 330);
  CHECK(is_guarded(block) && !readable(block) && !malloc_usable_size(block));
  free(block);
  memset(zeros, 3, 330);
  for (size_t before = 330, size = 700; size <= 3 * PAGE; before = size, size += 331) {
    zeros = realloc(zeros, size);
    CHECK(is_guarded(zeros) && holds(zeros, before, 3) &&
          holds(zeros + before, size - before, 0xab));
    memset(zeros, 3, size);
  }
  CHECK((zeros = realloc(zeros, 100000)) && holds(zeros, 331, 3));
  CHECK((zeros = realloc(zeros, 5)) && holds(zeros, 5, 3));
  free(zeros);
  for (size_t alignment = 1; alignment <= PAGE; alignment *= 2) {
    block = aligned_alloc(alignment, 100);
    CHECK(is_guarded(block) && (uintptr_t)block % alignment == 0 && holds(block, 100, 0xab));
    free(block);
  }
}

/* With a size that is no multiple of the alignment, of a slot and of more. */
static void placed(void) {
  static const char *const sides[] = {"right", "left"};
  for (int align = 16; align; align /= 2)
    for (int side = 0; side < 2; side++) {
      char options[64];
      snprintf(options, sizeof options, "guard_small=all:align=%d:side=%s", align, sides[side]);
      patalloc_heap *own = patalloc_heap_create(options, NULL, 0);
      for (size_t size = 1; size < 3 * PAGE; size += 1 + size / 3) {
        char *block = patalloc_malloc(own, size), *zeros = patalloc_calloc(own, 1, size);
        size_t most = (size + (size_t)align - 1) & ~((size_t)align - 1);
        for (int i = 0; i < 2; i++) {
          char *at = i ? zeros : block;
          uintptr_t edge = side ? (uintptr_t)at : (uintptr_t)at + most;
          CHECK(is_guarded(at) && holds((unsigned char *)at, size, i ? 0 : 0xab));
          CHECK(edge % PAGE == 0 && !readable((void *)(side ? edge - 1 : edge)));
          patalloc_free(own, at);
        }
      }
      patalloc_heap_destroy(own);
    }
}

/* What a child does to its blocks its parent does not see. */
static void forked(void) {
  unsigned char *block = malloc(100);
  int status;
  memset(block, 7, 100);
  pid_t child = fork();
  if (!child) {
    CHECK(holds(block, 100, 7));
    memset(block, 8, 100);
    churn((void *)77);
    freed_blocks_are_out_of_reach();
    CHECK(holds(block, 100, 8));
    free(block);
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child && !status);
  CHECK(holds(block, 100, 7));
  free(block);
}

int main(int argc, char **argv) {
  enum { MOST = 16 };
  int count = argc > 1 ? atoi(argv[1]) : 1;
  pthread_t threads[MOST];
  heap = patalloc_heap_create(getenv("HEAP_OPTIONS"), NULL, 0);
  CHECK(heap && count <= MOST);
  family();
  freed_blocks_are_out_of_reach();
  runs_move_on();
  placed();
  for (long i = 0; i < count; i++) CHECK(!pthread_create(&threads[i], NULL, churn, (void *)i));
  forked();
  for (int i = 0; i < count; i++) CHECK(!pthread_join(threads[i], NULL));
  patalloc_heap_destroy(heap);
  return 0;
}
