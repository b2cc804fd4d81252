/* A dlsym(3) that allocates, as the C library's may: preloaded behind the library, which looks the
 * malloc underneath up by it. Compiled with -DLIBRARY it is that; else a program that has allocated
 * much by then, and goes on. */
#include "check.h"

#include <dlfcn.h>

#ifdef LIBRARY

#ifdef __x86_64__
#define FIRST_VERSION "GLIBC_2.2.5"
#else
#define FIRST_VERSION "GLIBC_2.17"
#endif

static char *kept[2];

/* Whatever is asked of the family then is answered, and right. */
static void allocate(void) {
  void *block;
  char *first = malloc(100), *zeros = calloc(10, 10);
  CHECK(first && zeros && holds((unsigned char *)zeros, 100, 0));
  memset(first, 1, 100);
  CHECK(malloc_usable_size(first) >= 100);
  char *grown = realloc(first, 1000);
  CHECK(grown && holds((unsigned char *)grown, 100, 1));
  CHECK(!posix_memalign(&block, 256, 100) && (uintptr_t)block % 256 == 0);
  memset(block, 3, 100);
  for (int i = 0; i < 3; i++) { /* the buffer has 64 KiB for all lookups */
    unsigned char *other = aligned_alloc(256, 512), *last = calloc(1, 300);
    CHECK(other && last && holds(last, 300, 0));
    memset(other, 4, 512);
    CHECK(holds(last, 300, 0));
    memset(last, 5, 300);
    CHECK(holds(other, 512, 4));
  }
  CHECK(holds(block, 100, 3));
  free(zeros);
  kept[0] = grown;
  kept[1] = block;
}

void *dlsym(void *handle, const char *name) {
  static void *(*next)(void *, const char *);
  static int depth;
  if (!next) next = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", FIRST_VERSION);
  if (!depth++) allocate();
  depth--;
  return next(handle, name);
}

__attribute__((visibility("default"))) char **kept_blocks(void) {
  return kept;
}

#else

int main(void) {
  char **(*blocks)(void) = (char **(*)(void))dlsym(RTLD_DEFAULT, "kept_blocks");
  CHECK(blocks);
  char **kept = blocks();
  CHECK(kept[0] && holds((unsigned char *)kept[0], 100, 1));
  CHECK((kept[0] = realloc(kept[0], 5000)) && holds((unsigned char *)kept[0], 100, 1));
  free(kept[0]);
  free(kept[1]);
  unsigned char *block = malloc(1 << 20);
  CHECK(block && holds(block, 1 << 20, expected()));
  free(block);
  return 0;
}
#endif
