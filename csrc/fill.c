/* Writing a pattern with stores (see fill.h). */
#include "fill.h"

#include "os.h"

#include <string.h>

static void fill_bytes(uint64_t word, unsigned char *at, const unsigned char *end) {
  const unsigned char *bytes = (const unsigned char *)&word;
  for (; at < end; at++) *at = bytes[(uintptr_t)at & 7];
}

void fill_pattern(struct pattern pattern, void *start, size_t size) {
  unsigned char *at = start, *end = at + size;
  if (pattern.size == 0) return;
  if (pattern.size == 1) {
    memset(start, (int)(pattern.word & 0xff), size);
    return;
  }
  if (size < 16) return fill_bytes(pattern.word, at, end);
  unsigned char *first = (unsigned char *)(((uintptr_t)at + 7) & ~(uintptr_t)7);
  unsigned char *last = (unsigned char *)((uintptr_t)end & ~(uintptr_t)7);
  fill_bytes(pattern.word, at, first);
  for (; first < last; first += 8) memcpy(first, &pattern.word, 8);
  fill_bytes(pattern.word, last, end);
}

/* Small enough to try without asking; else leave an eighth of what there is. */
bool fill_fits(size_t size) {
  enum { SMALL = 16 << 20 };
  if (size <= SMALL) return true;
  size_t available = os_available_memory();
  return size <= available - available / 8;
}
