/* Writing a pattern with stores (see fill.h). */
#include "pages/fill.h"

#include "os/limits.h"

#include <stdatomic.h>
#include <string.h>

/* Up to so many bytes are stored here: memset(3) lies in pages of the C library that a process may
 * never read otherwise, and for small sizes to call it takes as long as the stores. */
enum { STORED_MOST = 4096 };

typedef uint64_t two_words __attribute__((vector_size(16), aligned(1), may_alias));

/* The pattern as it is from this address on. */
static uint64_t word_at(uint64_t word, uintptr_t address) {
  uint64_t twice[] = {word, word}, here;
  memcpy(&here, (const char *)twice + (address & 7), sizeof here);
  return here;
}

static void fill_bytes(uint64_t word, unsigned char *at, const unsigned char *end) {
  const unsigned char *bytes = (const unsigned char *)&word;
  for (; at < end; at++) *at = bytes[(uintptr_t)at & 7];
}

static void fill_words(uint64_t word, unsigned char *at, unsigned char *end) {
  uint64_t first = word_at(word, (uintptr_t)at), last = word_at(word, (uintptr_t)end);
  for (; end - at > 16; at += 16) *(two_words *)at = (two_words){first, first};
  *(two_words *)(end - 16) = (two_words){last, last};
}

void fill_pattern(struct pattern pattern, void *start, size_t size) {
  unsigned char *at = start, *end = at + size;
  if (pattern.size == 0) return;
  if (size < 16) return fill_bytes(pattern.word, at, end);
  if (pattern.size == 1 && size > STORED_MOST)
    memset(start, (int)(pattern.word & 0xff), size);
  else
    fill_words(pattern.word, at, end);
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
