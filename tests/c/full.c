/* What a heap has runs out, and is there again later. Linked with the core.
 *
 *   full region    all of its address space; HEAP_OPTIONS has reserve=64M
 *   full slots     all addresses of small blocks with a guard each; likewise, and guard_small=all
 *   full stacks    the table of call stacks, under a limit of address space; with reports */
#include "check.h"

#include "blocks/slot.h"
#include "watch/stack.h"

#include <sys/resource.h>

patalloc_heap *heap;

enum { MIB = 1 << 20, BLOCKS = 100 };
static unsigned char *blocks[BLOCKS];

static bool is_large(const void *block) {
  struct patalloc_block found;
  return !patalloc_inspect(heap, block, &found);
}

/* How many of those that live at a time are the heap's own. */
static int fill_region(void) {
  int own = 0;
  for (int i = 0; i < BLOCKS; i++) {
    CHECK((blocks[i] = malloc(MIB)) && holds(blocks[i], MIB, 0xab));
    memset(blocks[i], i, MIB);
    own += is_large(blocks[i]);
  }
  for (int i = 0; i < BLOCKS; i++) {
    size_t size = i % 2 ? 2 * MIB : MIB / 2;
    CHECK((blocks[i] = realloc(blocks[i], size)));
    CHECK(holds(blocks[i], size < MIB ? size : MIB, i));
    if (size > MIB) CHECK(holds(blocks[i] + MIB, size - MIB, 0xab));
  }
  for (int i = 0; i < BLOCKS; i++) free(blocks[i]);
  return own;
}

static void region_is_full(void) {
  int own = fill_region();
  CHECK(own > BLOCKS / 4 && own < BLOCKS);
  patalloc_release(heap);
  CHECK(fill_region() == own);
  patalloc_release(heap);
  void *most = malloc(40 * MIB);
  CHECK(is_large(most));
  free(most);
}

/* Some live on, and are where they were when all addresses have been handed out several times. */
static void slots_are_full(void) {
  enum { KEPT = 40, STEPS = 400000, SIZE = 40 };
  static unsigned char *kept[KEPT], *others[KEPT];
  static bool again;
  uintptr_t highest = 0;
  for (int i = 0; i < STEPS; i++) {
    unsigned char **place = i % (STEPS / KEPT) ? &others[i % KEPT] : &kept[i / (STEPS / KEPT)];
    free(*place);
    *place = malloc(SIZE);
    CHECK(*place && chunk_holds((uintptr_t)*place) && holds(*place, SIZE, 0xab));
    if (i % 1000 == 0) CHECK(!readable(*place + SIZE + 8));
    memset(*place, place == &others[i % KEPT] ? 0x11 : 0x22, SIZE);
    again |= (uintptr_t)*place < highest;
    if ((uintptr_t)*place > highest) highest = (uintptr_t)*place;
  }
  CHECK(again);
  for (int i = 0; i < KEPT; i++) {
    CHECK(holds(kept[i], SIZE, 0x22) && holds(others[i], SIZE, 0x11));
    free(kept[i]);
    free(others[i]);
  }
}

/* As many stacks as leaves, until one is not recorded any more. */
static struct options options;
static int recorded, unrecorded;
__attribute__((noinline)) static int branch(int depth) {
  if (!depth) {
    static uint32_t first;
    static struct stack before;
    struct stack stack;
    uint32_t number = stack_record(&options);
    if (!first) stack_find(first = number, &before);
    *(number ? &recorded : &unrecorded) += 1;
    stack_find(number, &stack);
    CHECK(!number == !stack.count);
    stack_find(first, &stack);
    CHECK(stack.count == before.count && !memcmp(stack.frames, before.frames, 8 * stack.count));
    return 1;
  }
  volatile int left = branch(depth - 1); /* or one of the calls becomes a loop */
  volatile int right = branch(depth - 1);
  return left + right;
}

static void stacks_are_full(void) {
  enum { DEPTH = 16, DOUBLE_FREES = 3 };
  char complaint[200];
  options_default(&options);
  CHECK(options_parse(&options, "stacks=32", &TEXT(complaint)));
  CHECK(branch(DEPTH) == 1 << DEPTH);
  CHECK(recorded > 1000 && unrecorded > 1000);
  for (int i = 0; i < DOUBLE_FREES; i++) { /* with on_error=continue */
    void *block = malloc(MIB);
    CHECK(block && holds(block, MIB, 0xab));
    free(block);
    free(block);
  }
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  bool stacks = !strcmp(argv[1], "stacks");
  if (stacks) CHECK(!setrlimit(RLIMIT_AS, &(struct rlimit){256 * MIB, 256 * MIB}));
  heap = patalloc_heap_create(getenv("HEAP_OPTIONS"), NULL, 0);
  CHECK(heap);
  bool slots = !strcmp(argv[1], "slots");
  (stacks ? stacks_are_full : slots ? slots_are_full : region_is_full)();
  patalloc_heap_destroy(heap);
  return 0;
}
