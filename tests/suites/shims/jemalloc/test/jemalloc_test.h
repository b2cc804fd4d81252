/* What jemalloc's configure and build give its integration tests, on the malloc of the system. */
#pragma once

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE_T_MAX       SIZE_MAX
#define LG_SIZEOF_PTR    3
#define TEST_MALLOC_SIZE malloc_usable_size
#define BUFERROR_BUF     64
#define FMTd32           PRId32
#define FMTu32           PRIu32
#define FMTd64           PRId64
#define FMTu64           PRIu64
#define FMTuPTR          PRIuPTR

#define JEMALLOC_FORMAT_PRINTF(string, first) __attribute__((format(printf, string, first)))
#define JEMALLOC_DIAGNOSTIC_PUSH
#define JEMALLOC_DIAGNOSTIC_POP
#define JEMALLOC_DIAGNOSTIC_IGNORE_ALLOC_SIZE_LARGER_THAN

#define malloc_snprintf                              snprintf
#define malloc_printf(...)                           fprintf(stderr, __VA_ARGS__)
#define malloc_cprintf(write, data, ...)             fprintf(stderr, __VA_ARGS__)
#define malloc_vcprintf(write, data, format, values) vfprintf(stderr, format, values)
#define not_reached()                                abort()
#define unreachable()                                __builtin_unreachable()
#define set_errno(value)                             (errno = (value))
#define get_errno()                                  errno
#define buferror(error, text, size)                  snprintf(text, size, "%s", strerror(error))

#ifdef __cplusplus
extern "C" {
#endif

/* The harness asks for a size, to have jemalloc started. */
static inline size_t nallocx(size_t size, int flags) {
  return flags ? 0 : size;
}

/* It runs each test again with hooks that only jemalloc calls. */
static void (*test_hooks_libc_hook)(void), (*test_hooks_arena_new_hook)(void);

/* Of jemalloc's own questions those that are beside the point of the tests that ask. */
static inline int mallctl(const char *name, void *old, size_t *length, void *value, size_t size) {
  (void)length, (void)value, (void)size;
  if (!strcmp(name, "arena.0.purge")) return malloc_trim(0), 0;
  if (!strcmp(name, "arenas.nlextents")) return *(unsigned *)old = 1, 0;
  return ENOENT;
}

static inline int mallctlnametomib(const char *name, size_t *mib, size_t *length) {
  (void)mib, (void)length;
  return strcmp(name, "arenas.lextent.0.size") ? ENOENT : 0;
}

static inline int mallctlbymib(const size_t *mib, size_t count, void *old, size_t *length,
                               void *value, size_t size) {
  (void)mib, (void)count, (void)length, (void)value, (void)size;
  *(size_t *)old = PTRDIFF_MAX;
  return 0;
}

#include "test/test.h"
#include "test/thd.h"

#ifdef __cplusplus
}
#endif
