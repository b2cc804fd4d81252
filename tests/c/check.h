/* For the C tests: what a test allocates with, and how it fails.
 *
 * Compiled with -DHEAP a test is linked with the core and allocates from a heap whose options are
 * in HEAP_OPTIONS; otherwise it calls malloc, and runs under the preloaded library. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (condition) break;                                                                          \
    fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);              \
    _exit(1);                                                                                      \
  } while (0)

#ifdef HEAP
#include "patalloc.h"
extern patalloc_heap *heap;
#define malloc(size)                   patalloc_malloc(heap, size)
#define calloc(count, size)            patalloc_calloc(heap, count, size)
#define realloc(pointer, size)         patalloc_realloc(heap, pointer, size)
#define aligned_alloc(alignment, size) patalloc_aligned_alloc(heap, alignment, size)
#define free(pointer)                  patalloc_free(heap, pointer)
#define malloc_usable_size(pointer)    patalloc_usable_size(heap, pointer)
#endif

/* The cases of a test, of which it runs the one that it is told; another name fails. */
struct test_case {
  const char *name;
  void (*function)(void);
};
#define RUN_CASE(cases, name) run_case(cases, sizeof(cases) / sizeof *(cases), name)
static inline void run_case(const struct test_case *cases, size_t count, const char *name) {
  size_t i = 0;
  while (i < count && strcmp(cases[i].name, name)) i++;
  CHECK(i < count);
  cases[i].function();
}

/* The byte that fresh memory must hold: PATTERN in the environment, or -1 for any. */
static inline int expected(void) {
  const char *text = getenv("PATTERN");
  return text ? (int)strtol(text, NULL, 0) : 0xab;
}

static inline bool holds(const unsigned char *start, size_t size, int byte) {
  if (byte < 0 || !size) return true;
  return start[0] == byte && !memcmp(start, start + 1, size - 1);
}

/* Whether the kernel can read the byte, asked without touching it. */
static inline int count_mappings(void) {
  int lines = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(maps);
  for (int c; (c = getc(maps)) != EOF;) lines += c == '\n';
  fclose(maps);
  return lines;
}

/* Not by write(2) as programs call it, which would be told. */
static inline bool readable(const void *address) {
  int ends[2];
  if (pipe(ends)) return true;
  bool answer = syscall(SYS_write, ends[1], address, 1) == 1;
  close(ends[0]);
  close(ends[1]);
  return answer;
}

#endif
