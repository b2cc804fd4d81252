/* Circumstances in which a report is made; the argument names one. */
#include "check.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>

enum { SIZE = 1 << 20 };
static char *volatile block;
static sigjmp_buf after;

static void overflow(void) {
  block[SIZE] = 1;
}

/* What the unwinder finds on the stack leads nowhere. */
__attribute__((noinline)) static void overflow_on_broken_stack(uintptr_t junk) {
  uintptr_t *frame = __builtin_frame_address(0);
  for (int i = 0; i < 40; i++) frame[i] = junk + 16 * i;
  overflow();
}

/* Where the unwinder looks for this function's caller it faults itself. */
__attribute__((noinline)) static void overflow_on_lost_stack(int size) {
  volatile char *room = __builtin_alloca(size); /* so that the frame is found by its register */
  room[0] = 1;
#ifdef __x86_64__
  __asm__ volatile("movq %0, %%rbp\n\tmovb $1, (%0)" : : "r"(block + SIZE) : "memory");
#else
  overflow();
#endif
}

static void on_fault(int number) {
  siglongjmp(after, number);
}

static void overflow_many_times(void) {
  signal(SIGSEGV, on_fault);
  for (volatile int i = 0; i < 150; i++)
    if (!sigsetjmp(after, 1)) overflow();
}

static void *overflow_in_thread(void *unused) {
  (void)unused;
  overflow();
  return NULL;
}

static void overflow_in_many_threads(void) {
  pthread_t threads[16];
  for (int i = 0; i < 16; i++) pthread_create(&threads[i], NULL, overflow_in_thread, NULL);
  for (int i = 0; i < 16; i++) pthread_join(threads[i], NULL);
}

/* Descriptor 9 is another file than it was when the program started. */
static void overflow_with_reused_descriptor(const char *path) {
  int other = open(path, O_WRONLY | O_CREAT, 0666);
  CHECK(dup2(other, 9) == 9);
  overflow();
}

static void overwrite_slack_twice(void) {
  for (int i = 0; i < 2; i++) {
    char *odd = malloc(SIZE - 1), *small = malloc(100);
    odd[SIZE - 1] = small[100] = 1;
    free(odd);
    free(small);
  }
}

/* Of a small block that is freed all is filled, but what the malloc underneath keeps there. */
static void read_freed_small(void) {
  unsigned char *small = malloc(1000), *again = malloc(1000);
  unsigned char *volatile hidden = small;
  memset(small, 1, 1000);
  free(small);
  CHECK(holds(hidden + 32, 1000 - 32, 0x54));
  again = realloc(again, 2000);
  CHECK(holds(again, 2000, 0xab));
  free(again);
}

static void null(void) {
  *(volatile int *)16 = 1;
}

int main(int argc, char **argv) {
  const char *what = argv[1];
  CHECK(argc > 1);
  block = malloc(SIZE);
  if (!strcmp(what, "broken stack")) overflow_on_broken_stack(0x1234567890);
  if (!strcmp(what, "lost stack")) overflow_on_lost_stack(argc * 100);
  if (!strcmp(what, "many times")) overflow_many_times();
  if (!strcmp(what, "many threads")) overflow_in_many_threads();
  if (!strcmp(what, "reused descriptor")) overflow_with_reused_descriptor(argv[2]);
  if (!strcmp(what, "slack twice")) overwrite_slack_twice();
  if (!strcmp(what, "freed small")) read_freed_small();
  if (!strcmp(what, "null")) null();
  if (!strcmp(what, "overflow")) overflow();
  puts("went on");
}
