/* The primary of the preloaded library: the next malloc in the search order, which may be another
 * preloaded allocator's. dlsym(3) may call malloc itself: until it has answered, requests are
 * served from a small buffer, whose memory is never reused. */
#include "os/memory.h"
#include "preload/next.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/* Until they are known, functions that look the others up. */
RARE static void *first_malloc(size_t size);
RARE static void *first_calloc(size_t count, size_t size);
/* Of NULL: what there is by then lies in the buffer, and next_realloc copies that. */
RARE static void *first_realloc(void *pointer, size_t size);
RARE static void first_free(void *pointer);
RARE static void *first_aligned(size_t alignment, size_t size);
RARE static size_t first_usable_size(void *pointer);

static struct {
  void *(*_Atomic malloc)(size_t);
  void *(*_Atomic calloc)(size_t, size_t);
  void *(*_Atomic realloc)(void *, size_t);
  void (*_Atomic free)(void *);
  void *(*_Atomic aligned)(size_t, size_t);
  size_t (*_Atomic usable_size)(void *);
} next = {first_malloc, first_calloc, first_realloc, first_free, first_aligned, first_usable_size};
static bool sized, headed; /* known with them */
#define NEXT(function) atomic_load_explicit(&next.function, memory_order_acquire)

/* The buffer: each piece is preceded by its size. */

enum { LEAST_ALIGNMENT = 16, EARLY_SIZE = 1 << 16 };
static char *_Atomic early; /* NULL until used */
static _Atomic size_t early_used;

static bool is_early(const void *pointer) {
  const char *start = atomic_load_explicit(&early, memory_order_relaxed);
  return start && (uintptr_t)pointer - (uintptr_t)start < EARLY_SIZE;
}

RARE static char *early_start(void) {
  char *start = early;
  if (start) return start;
  char *mapped = os_map(EARLY_SIZE);
  if (!mapped || atomic_compare_exchange_strong(&early, &start, mapped)) return mapped;
  os_unmap(mapped, EARLY_SIZE);
  return start;
}

static size_t early_size(const void *pointer) {
  return ((const size_t *)pointer)[-1];
}

RARE static void *early_allocate(size_t alignment, size_t size) {
  if (alignment < LEAST_ALIGNMENT) alignment = LEAST_ALIGNMENT;
  char *first = early_start();
  if (!first || size > EARLY_SIZE || alignment > EARLY_SIZE) return errno = ENOMEM, NULL;
  size_t at = atomic_fetch_add(&early_used, size + alignment + LEAST_ALIGNMENT);
  uintptr_t start = ((uintptr_t)first + at + LEAST_ALIGNMENT + alignment - 1) & ~(alignment - 1);
  if (start + size > (uintptr_t)first + EARLY_SIZE) return errno = ENOMEM, NULL;
  ((size_t *)start)[-1] = size;
  return (void *)start;
}

/* Whether a function is of the same allocator as malloc, and not of one behind it that has more.
 * Where that is glibc's, as it mostly is, nobody is behind it. */
static bool is_of(void *malloc, void *function) {
  Dl_info one, other;
  if (!function || headed) return function;
  return dladdr(malloc, &one) && dladdr(function, &other) && one.dli_fbase == other.dli_fbase;
}

static int (*next_posix_memalign)(void **, size_t, size_t);
RARE static void *aligned_by_posix(size_t alignment, size_t size) {
  void *pointer = NULL;
  if (alignment < sizeof(void *)) alignment = sizeof(void *);
  int error = next_posix_memalign(&pointer, alignment, size);
  if (error) errno = error;
  return error ? NULL : pointer;
}

/* memalign(3), on which the others are built: Electric Fence's posix_memalign calls ours again.
 * Where the allocator has none of them, whoever is behind it is asked, as without us. */
static void *(*find_aligned(void *malloc))(size_t, size_t) {
  void *memalign = next_symbol("memalign");
  if (is_of(malloc, memalign)) return (void *(*)(size_t, size_t))memalign;
  void *aligned = next_symbol("aligned_alloc"), *posix = next_symbol("posix_memalign");
  if (is_of(malloc, aligned)) return (void *(*)(size_t, size_t))aligned;
  next_posix_memalign = (int (*)(void **, size_t, size_t))posix;
  return is_of(malloc, posix) || !memalign ? aligned_by_posix : (void *(*)(size_t, size_t))memalign;
}

/* False while another call of this thread's, or another thread, is at it. What gives memory becomes
 * known last: who has a block of the primary's finds what takes it. */
static bool resolve(void) {
  static _Atomic bool begun;
  if (atomic_exchange(&begun, true)) return false;
  void *malloc = next_symbol("malloc"), *calloc = next_symbol("calloc"),
       *realloc = next_symbol("realloc"), *free = next_symbol("free"),
       *usable_size = next_symbol("malloc_usable_size");
  headed = malloc && malloc == next_symbol("__libc_malloc");
  sized = is_of(malloc, usable_size);
  next.free = (void (*)(void *))free;
  next.usable_size = (size_t(*)(void *))usable_size;
  next.realloc = (void *(*)(void *, size_t))realloc;
  next.aligned = find_aligned(malloc);
  next.calloc = (void *(*)(size_t, size_t))calloc;
  next.malloc = (void *(*)(size_t))malloc;
  return true;
}

RARE static void *first_malloc(size_t size) {
  return resolve() ? NEXT(malloc)(size) : early_allocate(0, size);
}

RARE static void *first_calloc(size_t count, size_t size) {
  if (resolve()) return NEXT(calloc)(count, size);
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) return errno = ENOMEM, NULL;
  return early_allocate(0, total); /* zero: never reused */
}

RARE static void *first_realloc(void *pointer, size_t size) {
  return resolve() ? NEXT(realloc)(pointer, size) : early_allocate(0, size);
}

RARE static void first_free(void *pointer) {
  if (resolve()) NEXT(free)(pointer);
}

RARE static void *first_aligned(size_t alignment, size_t size) {
  return resolve() ? NEXT(aligned)(alignment, size) : early_allocate(alignment, size);
}

RARE static size_t first_usable_size(void *pointer) {
  return resolve() ? NEXT(usable_size)(pointer) : 0;
}

static void *next_malloc(size_t size) {
  return NEXT(malloc)(size);
}

static void *next_calloc(size_t count, size_t size) {
  return NEXT(calloc)(count, size);
}

static void *next_realloc(void *pointer, size_t size) {
  if (!is_early(pointer)) return NEXT(realloc)(pointer, size);
  void *moved = next_malloc(size);
  size_t have = early_size(pointer);
  return moved ? memcpy(moved, pointer, have < size ? have : size) : NULL;
}

static void *next_aligned(size_t alignment, size_t size) {
  return NEXT(aligned)(alignment, size);
}

static void next_free(void *pointer) {
  if (!is_early(pointer)) NEXT(free)(pointer);
}

static size_t next_usable_size(void *pointer) {
  return is_early(pointer) ? early_size(pointer) : NEXT(usable_size)(pointer);
}

const struct primary next_primary = {
    .malloc = next_malloc,
    .calloc = next_calloc,
    .realloc = next_realloc,
    .aligned = next_aligned,
    .free = next_free,
    .usable_size = next_usable_size,
    .large_freed = next_large_freed,
    .sigaction = next_sigaction,
};

RARE static size_t no_size(void *pointer) {
  (void)pointer;
  return 0;
}

/* Those that are given a pointer stay in front: it may be one of the buffer's. */
struct primary next_found(void) {
  struct primary found = next_primary;
  resolve();
  found.sized = sized;
  found.headed = headed;
  if (!sized) found.usable_size = no_size;
  if (NEXT(malloc) != first_malloc) found.malloc = NEXT(malloc);
  if (NEXT(calloc) != first_calloc) found.calloc = NEXT(calloc);
  return found;
}
