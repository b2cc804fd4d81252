/* The stacks that are kept are those that the unwinder finds, however calls and frame sizes vary.
 * Linked with the core.
 *
 *   stacks [VISITS] */
#include "check.h"
#include "os/init.h"
#include "watch/stack.h"

#include <signal.h>

patalloc_heap *heap;

static struct options options;
static uint64_t state = 1;
static long visits, repeated;
static uint32_t last;

static uint64_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static unsigned find(const struct stack *stack, uintptr_t pc) {
  unsigned i = 0;
  while (i < stack->count && stack->frames[i] != pc) i++;
  return i;
}

/* From the call of this function on, as both also have some inside. */
__attribute__((noinline)) static void compare(void) {
  struct stack kept, taken;
  uintptr_t call = (uintptr_t)__builtin_return_address(0) - 1;
  uint32_t number = stack_record(&options);
  stack_find(number, &kept);
  unwind_from(&taken, STACK_MOST, 0);
  unsigned i = find(&kept, call), j = find(&taken, call);
  CHECK(i < kept.count && j < taken.count);
  for (; i < kept.count && j < taken.count; i++, j++) CHECK(kept.frames[i] == taken.frames[j]);
  repeated += number == last;
  last = number;
  visits++;
}

static void wander(int depth);

#define PLACE(name, before)                                                                        \
  __attribute__((noinline)) static void name(int depth) {                                          \
    before;                                                                                        \
    wander(depth - 1);                                                                             \
    if (next_random() % 3 == 0) compare();                                                         \
    if (next_random() % 3 == 0) wander(depth - 2);                                                 \
    __asm__ volatile("");                                                                          \
  }
PLACE(simple, (void)0)
PLACE(other, (void)0)
PLACE(large, volatile char room[1000]; room[next_random() % 1000] = 1; (void)room[5])
PLACE(varied, volatile char *room = __builtin_alloca(16 + next_random() % 64); room[0] = 1)
PLACE(aligned, volatile char room[64] __attribute__((aligned(64))); room[next_random() % 64] = 1;
      (void)room[5])
PLACE(both, volatile char room[64] __attribute__((aligned(128)));
      volatile char *more = __builtin_alloca(16 + next_random() % 64); room[0] = more[0] = 1;
      (void)room[5])

static int wander_in_order(const void *a, const void *b) {
  (void)b;
  wander(*(const int *)a);
  return 0;
}

/* With frames of the C library between. */
static void called_back(int depth) {
  int depths[] = {depth - 3, depth - 3};
  qsort(depths, 2, sizeof *depths, wander_in_order);
}

/* And the kernel's. */
static void handle(int signal) {
  (void)signal;
  wander(1);
}

static void interrupted(int depth) {
  if (depth % 8 == 0) raise(SIGUSR1);
}

__attribute__((noinline)) static void wander(int depth) {
  static void (*const places[])(int) = {simple,  other, large,       varied,
                                        aligned, both,  called_back, interrupted};
  if (depth <= 0) {
    compare();
    return;
  }
  for (uint64_t times = next_random() % 3; times; times--) places[next_random() % 8](depth);
  compare();
  __asm__ volatile("");
}

static void *wander_in_a_thread(void *unused) {
  (void)unused;
  struct stack kept;
  for (int i = 0; i < 20000; i++) stack_find(stack_record(&options), &kept);
  return NULL;
}

int main(int argc, char **argv) {
  long most = argc > 1 ? atol(argv[1]) : 300000;
  char complaint[200];
  struct text text = TEXT(complaint);
  os_init();
  options_default(&options);
  CHECK(options_parse(&options, "stacks=24", &text));
  signal(SIGUSR1, handle);
  while (visits < most) wander(12);
  CHECK(repeated);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) CHECK(!pthread_create(&threads[i], NULL, wander_in_a_thread, NULL));
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  CHECK(options_parse(&options, "stacks=5", &text));
  struct stack kept;
  stack_find(stack_record(&options), &kept);
  CHECK(kept.count && kept.count <= 5);
}
