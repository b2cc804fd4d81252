/* A malloc with a part of the family, preloaded behind the library: compiled with -DLIBRARY, and
 * -DALIGNED (posix_memalign is its only function for alignments, and what others have given it does
 * not free) or -DWRAPPED (it hands on to the C library's, whose sizes it leaves alone). Else a
 * program that uses all of it. */
#include "check.h"

#include <dlfcn.h>
#include <stdatomic.h>

#ifdef LIBRARY
#ifdef ALIGNED

enum { ROOM = 64 << 20, HEAD = 16 };
static char memory[ROOM] __attribute__((aligned(4096)));
static _Atomic size_t used;

static void *take(size_t alignment, size_t size) {
  size_t at = atomic_fetch_add(&used, size + alignment + HEAD);
  uintptr_t start = ((uintptr_t)memory + at + HEAD + alignment - 1) & ~(alignment - 1);
  if (at + size + alignment + HEAD > ROOM) return NULL;
  ((size_t *)start)[-1] = size;
  return (void *)start;
}
static size_t size_of(void *block) {
  if ((uintptr_t)block - (uintptr_t)memory >= ROOM) abort();
  return ((size_t *)block)[-1];
}

void *malloc(size_t size) {
  return take(16, size);
}
void *calloc(size_t count, size_t size) {
  return take(16, count * size); /* never reused: zeros */
}
void free(void *block) {
  if (block) size_of(block);
}
void *realloc(void *block, size_t size) {
  void *moved = take(16, size);
  size_t have = block ? size_of(block) : 0;
  return moved ? memcpy(moved, block, have < size ? have : size) : NULL;
}
int posix_memalign(void **block, size_t alignment, size_t size) {
  *block = take(alignment < 16 ? 16 : alignment, size);
  return *block ? 0 : ENOMEM;
}
size_t malloc_usable_size(void *block) {
  return block ? size_of(block) : 0;
}

#else

void *malloc(size_t size) {
  static void *(*next)(size_t);
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "malloc");
  return next(size);
}
void *calloc(size_t count, size_t size) {
  static void *(*next)(size_t, size_t);
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "calloc");
  return next(count, size);
}
void *realloc(void *block, size_t size) {
  static void *(*next)(void *, size_t);
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "realloc");
  return next(block, size);
}
void free(void *block) {
  static void (*next)(void *);
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "free");
  next(block);
}

#endif
#else

int main(void) {
  void *aligned;
  unsigned char *block = malloc(100), *large = malloc(300000);
  CHECK(block && large);
  memset(block, 1, 100);
  printf("%d\n", malloc_usable_size(block) >= 100);
  CHECK((block = realloc(block, 1000)) && holds(block, 100, 1));
  CHECK((block = realloc(block, 200000)) && holds(block, 100, 1));
  CHECK((block = realloc(block, 50)) && holds(block, 50, 1));
  free(block);
  CHECK(!posix_memalign(&aligned, 256, 100) && (uintptr_t)aligned % 256 == 0);
  free(aligned);
  CHECK((block = calloc(100, 3)) && holds(block, 300, 0));
  free(block);
  free(large);
  return 0;
}
#endif
