/* The thresholds of the malloc underneath. glibc's gives the top of its heap back to the kernel
 * once that is twice as large as the largest block it had mapped and saw freed, 128 KiB at first
 * (M_MMAP_THRESHOLD in mallopt(3)). As it never sees those blocks here, it would go on trimming,
 * and programs fault the same pages in again and again: so it is told. Not where the user or the
 * program has set a threshold, as glibc itself stops adapting then. */
#include "base/text.h"
#include "patalloc.h"
#include "preload/next.h"

#include <malloc.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic bool fixed;

static bool is_tuning(const char *variable) {
  static const char *const variables[] = {"MALLOC_TRIM_THRESHOLD_=", "MALLOC_TOP_PAD_=",
                                          "MALLOC_MMAP_THRESHOLD_=", "MALLOC_MMAP_MAX_="};
  static const char *const tunables[] = {
      "malloc.trim_threshold=", "malloc.top_pad=", "malloc.mmap_threshold=", "malloc.mmap_max="};
  bool has_tunables = text_past(variable, "GLIBC_TUNABLES=");
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
    if (text_past(variable, variables[i]) || (has_tunables && text_after(variable, tunables[i])))
      return true;
  return false;
}

__attribute__((constructor)) static void read_environment(void) {
  for (char **at = environ; *at && !fixed; at++) fixed = is_tuning(*at);
}

static int set_parameter(int parameter, int value) {
  int (*next)(int, int);
  *(void **)&next = next_symbol("mallopt");
  return next ? next(parameter, value) : 0;
}

RARE PATALLOC_API int mallopt(int parameter, int value) {
  if (parameter == M_TRIM_THRESHOLD || parameter == M_TOP_PAD || parameter == M_MMAP_THRESHOLD ||
      parameter == M_MMAP_MAX)
    fixed = true;
  return set_parameter(parameter, value);
}

/* By steps of a quarter at least, as a setting costs more than a free. */
void next_large_freed(size_t size) {
  enum { MOST = 32 << 20 }; /* DEFAULT_MMAP_THRESHOLD_MAX of a 64-bit glibc */
  static _Atomic size_t largest = 128 << 10;
  size_t before = atomic_load_explicit(&largest, memory_order_relaxed);
  if (size < before + before / 4 || size > MOST || fixed) return;
  if (!atomic_compare_exchange_strong(&largest, &before, size)) return;
  set_parameter(M_MMAP_THRESHOLD, (int)size);
  set_parameter(M_TRIM_THRESHOLD, 2 * (int)size);
}
