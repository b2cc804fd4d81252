/* Writing a pattern with stores (see fill.h). */
#include "pages/fill.h"

#include "os/limits.h"

#include <stdatomic.h>
#include <string.h>

typedef uint64_t two_words __attribute__((vector_size(16), aligned(1), may_alias));

/* The pattern as it is from this address on. */
static uint64_t word_at(uint64_t word, uintptr_t address) {
  uint64_t twice[] = {word, word}, here;
  if (address % sizeof word == 0) return word;
  memcpy(&here, (const char *)twice + (address & 7), sizeof here);
  return here;
}

static void fill_bytes(uint64_t word, unsigned char *at, const unsigned char *end) {
  const unsigned char *bytes = (const unsigned char *)&word;
  for (; at < end; at++) *at = bytes[(uintptr_t)at & 7];
}

/* 16 bytes or more. */
static void fill_words(uint64_t word, unsigned char *at, unsigned char *end) {
  uint64_t first = word_at(word, (uintptr_t)at), last = word_at(word, (uintptr_t)end);
  const two_words words = {first, first};
  for (; end - at > 64; at += 64)
    for (int i = 0; i < 4; i++) ((two_words *)at)[i] = words;
  for (; end - at > 16; at += 16) *(two_words *)at = words;
  *(two_words *)(end - 16) = (two_words){last, last};
}

#ifdef __x86_64__
/* Without memset(3), which lies in 64 KiB of the C library that half of the processes read for
 * nothing else. String stores are as fast for so many bytes; and they are so for every pattern. */
static void fill_many(uint64_t word, unsigned char *at, unsigned char *end) {
  uint64_t first = word_at(word, (uintptr_t)at), last = word_at(word, (uintptr_t)end);
  size_t words = (size_t)(end - at) / sizeof word;
  __asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(first) : "memory");
  memcpy(end - sizeof last, &last, sizeof last);
}
#endif

static bool is_of_one_byte(uint64_t word) {
  return word == (word & 0xff) * (UINT64_MAX / 0xff);
}

void fill_pattern(struct pattern pattern, void *start, size_t size) {
  enum { FEW = 16, SOME = 128, MANY = 4096 };
  unsigned char *at = start, *end = at + size;
  if (pattern.size == 0) return;
  if (size < FEW) return fill_bytes(pattern.word, at, end);
#ifdef __x86_64__
  if (size >= MANY) return fill_many(pattern.word, at, end);
#endif
  if (size <= SOME || !is_of_one_byte(pattern.word)) return fill_words(pattern.word, at, end);
  memset(start, (int)(pattern.word & 0xff), size);
}

/* Asking the kernel costs as much as a memset of some 100 KiB, so a part of what it says is handed
 * out before it is asked again. */
bool fill_fits(size_t size) {
  enum { PART = 16, MOST = 1 << 28 };
  static _Atomic size_t granted;
  size_t left = granted;
  while (size <= left)
    if (atomic_compare_exchange_weak(&granted, &left, left - size)) return true;
  size_t all = os_physical_memory(); /* 0.3 us, where the other takes 30 */
  if (all && size > all) return false;
  size_t available = os_available_memory();
  if (size > available - available / 8) return false;
  granted = available / PART < MOST ? available / PART : MOST;
  return true;
}
