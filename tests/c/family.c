/* Every function of the malloc family, small and large: results, errno, alignment. */
#include "check.h"

#include <dlfcn.h>

static const size_t sizes[] = {0, 1, 24, 4096, 100000, 131072, 300001, 9000000};
enum { SIZES = sizeof sizes / sizeof *sizes };
static volatile size_t too_much = (size_t)-1 / 2 + 1,
                       most = (size_t)-1; /* unknown to the compiler */

static void check(void *pointer, size_t size, size_t alignment, int byte) {
  CHECK(pointer && (uintptr_t)pointer % alignment == 0);
  CHECK(malloc_usable_size(pointer) >= size && holds(pointer, malloc_usable_size(pointer), byte));
}

static void check_allocators(size_t size) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  void *pointer = malloc(size);
  check(pointer, size, 16, expected());
  free(pointer);
  pointer = calloc(size, 1);
  CHECK(pointer && holds(pointer, size, 0));
  free(pointer);
  for (size_t alignment = 8; alignment <= 1 << 22; alignment *= 4) {
    check(pointer = aligned_alloc(alignment, size), size, alignment, expected());
    free(pointer);
    check(pointer = memalign(alignment, size), size, alignment, expected());
    free(pointer);
    CHECK(posix_memalign(&pointer, alignment, size) == 0);
    check(pointer, size, alignment, expected());
    free(pointer);
  }
  check(pointer = valloc(size), size, page, expected());
  free(pointer);
  check(pointer = pvalloc(size), (size + page - 1) & ~(page - 1), page, expected());
  free(pointer);
  check(pointer = reallocarray(NULL, size + 1, 3), 3 * (size + 1), 16, expected());
  free(pointer);
}

static void check_resizes(size_t from, size_t to) {
  unsigned char *pointer = malloc(from);
  CHECK(pointer);
  memset(pointer, 3, from);
  pointer = realloc(pointer, to);
  CHECK(pointer || !to);
  if (!pointer) return;
  CHECK(holds(pointer, from < to ? from : to, 3));
  size_t usable = malloc_usable_size(pointer);
  if (from < to && from) CHECK(holds(pointer + from, usable - from, expected()));
  free(pointer);
}

static void check_refusals(void) {
  void *pointer = &pointer, *block = malloc(1000000);
#define REFUSED(call, error) (errno = 0, !(call) && errno == (error))
  CHECK(REFUSED(malloc(too_much), ENOMEM));
  CHECK(REFUSED(malloc(most), ENOMEM));
  CHECK(REFUSED(calloc(too_much, 2), ENOMEM));
  CHECK(REFUSED(calloc(most, 1), ENOMEM));
  CHECK(REFUSED(realloc(NULL, too_much), ENOMEM));
  CHECK(REFUSED(reallocarray(NULL, too_much, 2), ENOMEM));
  CHECK(REFUSED(reallocarray(block, too_much, 2), ENOMEM));
  CHECK(REFUSED(realloc(block, too_much), ENOMEM));
  CHECK(REFUSED(realloc(block, most), ENOMEM));
  CHECK(REFUSED(aligned_alloc(48, 1000000), EINVAL));
  CHECK(REFUSED(aligned_alloc(16, too_much), ENOMEM));
  CHECK(REFUSED(aligned_alloc(too_much, 1), ENOMEM) || errno == EINVAL);
  CHECK(REFUSED(pvalloc(most), ENOMEM));
  errno = 77;
  CHECK(posix_memalign(&pointer, 24, 1000000) == EINVAL);
  CHECK(posix_memalign(&pointer, 4, 1000000) == EINVAL);
  CHECK(posix_memalign(&pointer, 0, 1000000) == EINVAL);
  CHECK(errno == 77);
  CHECK(posix_memalign(&pointer, 64, too_much) == ENOMEM);
  CHECK(pointer == &pointer && errno == ENOMEM); /* as glibc has it */
  errno = 77;
  free(block);
  free(NULL);
  CHECK(errno == 77 && malloc_usable_size(NULL) == 0);
  CHECK(!realloc(malloc(100), 0) && !realloc(malloc(1000000), 0)); /* they are freed */
  void *rounded = memalign(48, 1000000);
  CHECK(rounded && (uintptr_t)rounded % 64 == 0);
  free(rounded);
}

static void check_sized_frees(void) {
  void (*sized)(void *, size_t), (*aligned)(void *, size_t, size_t);
  *(void **)&sized = dlsym(RTLD_DEFAULT, "free_sized");
  *(void **)&aligned = dlsym(RTLD_DEFAULT, "free_aligned_sized");
  CHECK(sized && aligned);
  sized(malloc(1000000), 1000000);
  sized(malloc(10), 10);
  aligned(aligned_alloc(64, 1000000), 64, 1000000);
}

static void check_reporting(void) {
  char *text = NULL;
  size_t length;
  void *block = malloc(5000000);
  struct mallinfo2 info = mallinfo2();
  CHECK(info.hblks >= 1 && info.hblkhd >= 5000000 && info.arena > 0);
  free(block);
  CHECK(mallinfo2().hblkhd < info.hblkhd);
  FILE *stream = open_memstream(&text, &length);
  CHECK(malloc_info(0, stream) == 0);
  fclose(stream);
  CHECK(strstr(text, "<malloc"));
  free(text);
  CHECK(mallopt(M_ARENA_MAX, 4) == 1);
  CHECK(malloc_trim(0) == 1); /* the freed block's run */
}

int main(void) {
  for (int i = 0; i < SIZES; i++) check_allocators(sizes[i]);
  for (int i = 0; i < SIZES; i++)
    for (int j = 0; j < SIZES; j++) check_resizes(sizes[i], sizes[j]);
  check_refusals();
  check_sized_frees();
  check_reporting();
  return 0;
}
