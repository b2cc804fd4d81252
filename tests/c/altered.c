/* What a program does to the mappings of a block ends with the block. Prints nothing. */
#include "check.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { PAGE = 4096 };

static long locked_kib(void) {
  static char text[8192];
  FILE *status = fopen("/proc/self/status", "r");
  size_t length = fread(text, 1, sizeof text - 1, status);
  fclose(status);
  CHECK(length);
  return strtol(strstr(text, "VmLck:") + 6, NULL, 10);
}

static int shut(unsigned char *pages) {
  return mprotect(pages, PAGE, PROT_NONE);
}
static int freeze(unsigned char *pages) {
  return mprotect(pages, PAGE, PROT_READ);
}
static int lock(unsigned char *pages) {
  return mlock(pages, PAGE);
}
static int lock_more(unsigned char *pages) {
  return mlock2(pages, PAGE, 0);
}
static int keep_from_children(unsigned char *pages) {
  return madvise(pages, PAGE, MADV_DONTFORK);
}
static int wipe_in_children(unsigned char *pages) {
  return madvise(pages, PAGE, MADV_WIPEONFORK);
}
static int drop(unsigned char *pages) {
  return madvise(pages, PAGE, MADV_DONTNEED);
}
static int drop_later(unsigned char *pages) {
  return madvise(pages, PAGE, MADV_FREE);
}
static int (*const changes[])(unsigned char *) = {
    shut, freeze, lock, lock_more, keep_from_children, wipe_in_children, drop, drop_later};

static bool in_child(const unsigned char *page, int value) {
  int status;
  pid_t child = fork();
  if (!child) _exit(page[0] != value);
  CHECK(waitpid(child, &status, 0) == child);
  return !status;
}

static void check_change(int (*change)(unsigned char *), size_t size) {
  unsigned char *block = aligned_alloc(PAGE, size);
  CHECK(block);
  memset(block, 7, size);
  unsigned char *page = block + 8 * PAGE;
  CHECK(!change(page));
  if (change == freeze) CHECK(page[0] == 7);
  if (change == drop) CHECK(holds(page, PAGE, 0) && page[PAGE] == 7 && page[-1] == 7);
  if (change == drop_later) CHECK(page[0] == 7 || page[0] == 0);
  if (change == wipe_in_children) CHECK(page[0] == 7 && in_child(page, 0) && in_child(block, 7));
  free(block);
}

/* Blocks of the sizes that were changed are whole, all of them. */
static void check_all(size_t size) {
  enum { COUNT = 12 };
  unsigned char *blocks[COUNT];
  for (int i = 0; i < COUNT; i++) {
    CHECK((blocks[i] = aligned_alloc(PAGE, size)) && holds(blocks[i], size, expected()));
    memset(blocks[i], i, size);
  }
  for (int i = 0; i < COUNT; i++) {
    CHECK(in_child(blocks[i] + 8 * PAGE, i));
    free(blocks[i]);
  }
}

/* What is moved is changed still, and what stays behind is not. */
static void check_move(void) {
  enum { SIZE = 1 << 20, MORE = 8 << 20 };
  unsigned char *blocks[10];
  for (int i = 0; i < 10; i++) CHECK((blocks[i] = aligned_alloc(PAGE, SIZE)));
  memset(blocks[4], 7, SIZE);
  CHECK(!mlock(blocks[4] + PAGE, PAGE) && !mprotect(blocks[4] + 2 * PAGE, PAGE, PROT_READ));
  CHECK((blocks[4] = realloc(blocks[4], MORE)) && holds(blocks[4], SIZE, 7));
  for (int i = 0; i < 10; i++) free(blocks[i]);
  check_all(SIZE);
  check_all(MORE);
}

/* As NumPy has it of all arrays of 4 MiB and more: pages that are kept are not lost by it. */
static void check_huge_pages(void) {
  enum { SIZE = 8 << 20, ROUNDS = 40 };
  struct rusage before, after;
  for (int i = 0; i < ROUNDS; i++) {
    if (i == ROUNDS / 2) CHECK(!getrusage(RUSAGE_SELF, &before));
    unsigned char *block = aligned_alloc(PAGE, SIZE);
    CHECK(block && !madvise(block, SIZE, MADV_HUGEPAGE));
    memset(block, 7, SIZE);
    free(block);
  }
  CHECK(!getrusage(RUSAGE_SELF, &after));
  long faults = after.ru_minflt - before.ru_minflt;
  if (getenv("KEEPS")) CHECK(faults < SIZE / PAGE); /* in one round there would be as many */
}

int main(void) {
  static const size_t sizes[] = {40 * PAGE, 200 * PAGE, 4000 * PAGE};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int round = 0; round < 3; round++)
      for (size_t j = 0; j < sizeof changes / sizeof *changes; j++) {
        check_change(changes[j], sizes[i]);
        check_all(sizes[i]);
        CHECK(locked_kib() == 0); /* what mremap(2) moves, Linux goes on counting (6.18) */
      }
  check_move();
  check_huge_pages();
  return 0;
}
