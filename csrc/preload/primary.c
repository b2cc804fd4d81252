/* The primary of the preloaded library: the next malloc in the search order, which may be another
 * preloaded allocator's. dlsym(3) may call malloc itself: until it has answered, requests are
 * served from a small buffer, whose memory is never reused. */
#include "primary.h"

#include "next.h"
#include "os.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

static struct {
  void *(*malloc)(size_t);
  void *(*calloc)(size_t, size_t);
  void *(*realloc)(void *, size_t);
  void (*free)(void *);
  int (*posix_memalign)(void **, size_t, size_t);
  size_t (*malloc_usable_size)(void *);
} next;

void *next_symbol(const char *name) {
  return dlsym(RTLD_NEXT, name);
}

/* The buffer: each piece is preceded by its size. */

enum { LEAST_ALIGNMENT = 16, EARLY_SIZE = 1 << 16 };
static char *_Atomic early; /* NULL until used */
static _Atomic size_t early_used;

static bool is_early(const void *pointer) {
  const char *start = atomic_load_explicit(&early, memory_order_relaxed);
  return start && (uintptr_t)pointer - (uintptr_t)start < EARLY_SIZE;
}

static char *early_start(void) {
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

static void *early_allocate(size_t alignment, size_t size) {
  if (alignment < LEAST_ALIGNMENT) alignment = LEAST_ALIGNMENT;
  char *first = early_start();
  if (!first || size > EARLY_SIZE || alignment > EARLY_SIZE) return errno = ENOMEM, NULL;
  size_t at = atomic_fetch_add(&early_used, size + alignment + LEAST_ALIGNMENT);
  uintptr_t start = ((uintptr_t)first + at + LEAST_ALIGNMENT + alignment - 1) & ~(alignment - 1);
  if (start + size > (uintptr_t)first + EARLY_SIZE) return errno = ENOMEM, NULL;
  ((size_t *)start)[-1] = size;
  return (void *)start;
}

/* Resolving: false while another call of this thread's, or another thread, is at it. */

static _Atomic bool begun, resolved;

static bool resolve(void) {
  if (atomic_exchange(&begun, true)) return false;
  *(void **)&next.malloc = next_symbol("malloc");
  *(void **)&next.calloc = next_symbol("calloc");
  *(void **)&next.realloc = next_symbol("realloc");
  *(void **)&next.free = next_symbol("free");
  *(void **)&next.posix_memalign = next_symbol("posix_memalign");
  *(void **)&next.malloc_usable_size = next_symbol("malloc_usable_size");
  atomic_store_explicit(&resolved, true, memory_order_release);
  return true;
}

static inline bool ready(void) {
  return atomic_load_explicit(&resolved, memory_order_acquire) || resolve();
}

void *primary_malloc(size_t size) {
  return ready() ? next.malloc(size) : early_allocate(0, size);
}

void *primary_calloc(size_t count, size_t size) {
  if (ready()) return next.calloc(count, size);
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) return errno = ENOMEM, NULL;
  return early_allocate(0, total); /* zero: never reused */
}

void *primary_realloc(void *pointer, size_t size) {
  if (!is_early(pointer)) return ready() ? next.realloc(pointer, size) : early_allocate(0, size);
  void *moved = primary_malloc(size);
  size_t have = early_size(pointer);
  return moved ? memcpy(moved, pointer, have < size ? have : size) : NULL;
}

void *primary_aligned(size_t alignment, size_t size) {
  if (!ready()) return early_allocate(alignment, size);
  void *pointer = NULL;
  if (alignment < sizeof(void *)) alignment = sizeof(void *);
  int error = next.posix_memalign(&pointer, alignment, size);
  if (error) errno = error;
  return error ? NULL : pointer;
}

void primary_free(void *pointer) {
  if (!is_early(pointer) && ready()) next.free(pointer);
}

size_t primary_usable_size(void *pointer) {
  if (is_early(pointer)) return early_size(pointer);
  return next.malloc_usable_size(pointer); /* which is there, as the pointer came from the next */
}
