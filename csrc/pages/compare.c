/* Looking for what was written over a pattern (see compare.h). */
#include "pages/compare.h"

#include "base/lock.h"

#include <stdatomic.h>

/* The first byte from which on less than a word is left, or the pattern is not all that is there.
 */
static uintptr_t skip_words(uint64_t word, uintptr_t from, uintptr_t end) {
  enum { TOGETHER = 8 }; /* words; compilers have instructions for several at once */
  uintptr_t at = from;
  while (at < end && at & 7 && *(const unsigned char *)at == ((const unsigned char *)&word)[at & 7])
    at++;
  for (uint64_t differs = 0; !(at & 7) && end - at >= TOGETHER * 8; at += TOGETHER * 8) {
    for (int i = 0; i < TOGETHER; i++) differs |= ((const uint64_t *)at)[i] ^ word;
    if (differs) break;
  }
  while (!(at & 7) && end - at >= 8 && *(const uint64_t *)at == word) at += 8;
  return at;
}

bool compare_pattern(struct pattern pattern, uintptr_t from, uintptr_t end,
                     struct difference *part) {
  const unsigned char *bytes = (const unsigned char *)&pattern.word;
  *part = (struct difference){0, 0};
  for (uintptr_t at = skip_words(pattern.word, from, end); at < end; at++) {
    if (*(const unsigned char *)at == bytes[at & 7]) continue;
    if (!part->end) part->from = at;
    part->end = at + 1;
  }
  return part->end;
}

static struct pattern numbered[UINT8_MAX + 1];
static _Atomic unsigned last; /* number that is one's */

static unsigned find_number(struct pattern pattern, unsigned most) {
  unsigned number = 1;
  while (number <= most && numbered[number].word != pattern.word) number++;
  return number;
}

static unsigned add_number(struct pattern pattern) {
  static struct lock lock;
  lock_take(&lock);
  unsigned number = find_number(pattern, last);
  if (number > last && number <= UINT8_MAX) {
    numbered[number] = pattern;
    last = number;
  }
  lock_drop(&lock);
  return number;
}

uint8_t pattern_number(struct pattern pattern) {
  unsigned most = last, number = find_number(pattern, most);
  if (!pattern.size) return 0;
  if (number > most) number = add_number(pattern);
  return number <= UINT8_MAX ? (uint8_t)number : 0;
}

struct pattern pattern_of(uint8_t number) {
  return numbered[number];
}
