/* Codes (see code.h). */
#include "watch/code.h"

#include <string.h>

enum { WORD = sizeof(uint64_t) };

/* splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014) */
static uint64_t mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

uint64_t code_key(uint64_t salt, uint64_t stack, uint64_t number) {
  return (mix(mix(mix(salt) ^ stack) + number) & ~(uint64_t)1) | (salt & 1);
}

/* Whose highest bit is set where the byte is 0, in each byte (Warren, Hacker's Delight, 6-1). */
static uint64_t zero_bytes(uint64_t word) {
  const uint64_t low = 0x7f7f7f7f7f7f7f7f;
  return ~(((word & low) + low) | word | low);
}

uint64_t code_word(uint64_t key, uint64_t place) {
  const uint64_t digit = 0x0fffffff0fffffff, positive = 0x5000000050000000;
  uint64_t word = (mix(key + place) & digit) | positive | (key & 1) << 31 | (key & 1) << 63;
  return word | zero_bytes(word) >> 3;
}

void code_fill(uint64_t key, void *block, size_t from, size_t end) {
  for (size_t at = from, next; at < end; at = next) {
    size_t start = at % WORD;
    uint64_t word = code_word(key, at / WORD);
    next = at - start + WORD < end ? at - start + WORD : end;
    memcpy((char *)block + at, (char *)&word + start, next - at);
  }
}

/* Ranges, as they are found */

struct found {
  struct range *ranges;
  size_t count, most, shortest;
};

static void add(struct found *found, size_t from, size_t to) {
  if (to - from < found->shortest) return;
  if (found->count == found->most)
    found->ranges[found->most - 1].to = to;
  else
    found->ranges[found->count++] = (struct range){from, to};
}

/* Bytes that are chance come alone one in 256, in pairs one in 65,536. */
static size_t shortest_in(size_t size) {
  enum { FEW = 64, SOME = 4096 };
  return size <= FEW ? 1 : size <= SOME ? 2 : 3;
}

size_t code_left(uint64_t key, bool repeats, const void *block, size_t size, struct range *ranges,
                 size_t most) {
  struct found found = {ranges, 0, most, shortest_in(size)};
  size_t from = 0; /* of the bytes before `at` those from here on are left */
  for (size_t at = 0; at < size; at += WORD) {
    uint64_t word = 0, code = code_word(key, repeats ? 0 : at / WORD);
    size_t bytes = size - at < WORD ? size - at : WORD;
    memcpy(&word, (const char *)block + at, bytes);
    word ^= code;
    if (!word) continue;
    for (size_t i = 0; i < bytes; i++) {
      if (!((const unsigned char *)&word)[i]) continue;
      if (from < at + i) add(&found, from, at + i);
      from = at + i + 1;
    }
  }
  if (from < size) add(&found, from, size);
  return found.count;
}

size_t code_search(const void *bytes, size_t size, size_t from, const unsigned char *bits) {
  const unsigned char *at = bytes;
  for (size_t i = from; i + 2 < size; i++) {
    uint32_t number = at[i] | (uint32_t)at[i + 1] << 8 | (uint32_t)at[i + 2] << 16;
    if (bits[number / 8] >> number % 8 & 1) return i;
  }
  return size;
}
