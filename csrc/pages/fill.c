/* Writing a pattern with stores (see fill.h). */
#include "pages/fill.h"

#include "os/limits.h"

#include <stdatomic.h>
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

/* Asking the kernel costs as much as a memset of some 100 KiB, so a part of what it says is handed
 * out before it is asked again. */
bool fill_fits(size_t size) {
  enum { PART = 16, MOST = 1 << 28 };
  static _Atomic size_t granted;
  size_t left = granted;
  while (size <= left)
    if (atomic_compare_exchange_weak(&granted, &left, left - size)) return true;
  size_t available = os_available_memory();
  if (size > available - available / 8) return false;
  granted = available / PART < MOST ? available / PART : MOST;
  return true;
}
