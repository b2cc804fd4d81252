/* What malloc(3) and its kin promise beside memory, as the C library keeps it. Prints nothing. */
#include "check.h"

#include <malloc.h>
#include <signal.h>

static void small_at_large_alignments(void) {
  for (size_t alignment = 1 << 12; alignment <= 1 << 30; alignment *= 4) {
    void *block;
    CHECK(!posix_memalign(&block, alignment, 100) && (uintptr_t)block % alignment == 0);
    CHECK(malloc_usable_size(block) >= 100 && malloc_usable_size(block) < 1 << 16);
    memset(block, 1, malloc_usable_size(block));
    free(block);
  }
}

/* One block at a time takes the place of the last. */
static void aligned_reuse(void) {
  enum { ROUNDS = 500, MORE = 50 };
  int before = count_mappings();
  for (size_t alignment = 1 << 12; alignment <= 2 << 20; alignment *= 8)
    for (int i = 0; i < ROUNDS; i++) {
      unsigned char *block = aligned_alloc(alignment, 1 << 20);
      CHECK(block && (uintptr_t)block % alignment == 0);
      CHECK(i % 50 || holds(block, 1 << 20, expected()));
      block[i] = 1;
      free(block);
    }
  CHECK(count_mappings() - before < MORE);
}

/* Bytes that malloc_usable_size has promised are kept. */
static void usable(unsigned char *block, size_t to) {
  CHECK(block);
  size_t had = malloc_usable_size(block);
  memset(block, 7, had);
  CHECK((block = realloc(block, to ? to : had)) && holds(block, had, 7));
  free(block);
}

static void usable_bytes_are_kept(void) {
  static const size_t sizes[] = {100, 100001, 200001, 3000001};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (size_t times = 0; times <= 3; times++) {
      usable(malloc(sizes[i]), times * sizes[i] + (times == 1) * 5000);
      usable(calloc(1, sizes[i]), times * sizes[i] + (times == 1) * 5000);
    }
}

static void errors(void) {
  void *block = &block;
  errno = 0;
  CHECK(posix_memalign(&block, 64, SIZE_MAX / 2) == ENOMEM && errno == ENOMEM && block == &block);
  errno = 0;
  CHECK(posix_memalign(&block, 3, 100) == EINVAL && !errno);
  CHECK(signal(SIGSEGV, SIG_ERR) == SIG_ERR && errno == EINVAL);
}

/* From the first block on, whatever threads and files of the heap's own it takes. */
static void mask_and_descriptors(void) {
  sigset_t some, before, after;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR1);
  CHECK(!pthread_sigmask(SIG_BLOCK, &some, NULL) && !pthread_sigmask(SIG_BLOCK, NULL, &before));
  int next = dup(STDERR_FILENO);
  free(realloc(memset(malloc(1 << 20), 1, 5), 3 << 20));
  CHECK(!pthread_sigmask(SIG_BLOCK, NULL, &after));
  for (int signal = 1; signal < NSIG; signal++)
    CHECK(sigismember(&before, signal) == sigismember(&after, signal));
  CHECK(!close(next) && dup(STDERR_FILENO) == next && !close(next));
}

int main(void) {
  mask_and_descriptors();
  small_at_large_alignments();
  aligned_reuse();
  usable_bytes_are_kept();
  errors();
  return 0;
}
