/* The instructions of Arm's Memory Tagging Extension (Arm ARM, FEAT_MTE2), and nothing on other
 * machines. Memory has a tag of four bits for each 16 bytes; a pointer has one in its bits 56 to
 * 59, and an access is checked for both being the same (Linux:
 * arch/arm64/memory-tagging-extension).
 *
 * All but mte_untag must be used only where os_has(OS_MTE). None is a system call. */
#ifndef PATALLOC_MTE_H
#define PATALLOC_MTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MTE_GRANULE = 16, MTE_TAGS = 16, MTE_SHIFT = 56 };

static inline uintptr_t mte_with_tag(uintptr_t address, unsigned tag) {
  return address | (uintptr_t)tag << MTE_SHIFT;
}

static inline unsigned mte_tag_of(uintptr_t pointer) {
  return pointer >> MTE_SHIFT & (MTE_TAGS - 1);
}

#ifdef __aarch64__

#define MTE ".arch armv8.5-a+memtag\n"
enum { MTE_ABLE = true };

/* The address that a pointer means: the top byte is ignored, with MTE and without. */
static inline uintptr_t mte_untag(uintptr_t pointer) {
  return pointer & (((uintptr_t)1 << MTE_SHIFT) - 1);
}

/* The tag of the memory there, which must be readable. */
static inline unsigned mte_tag_at(uintptr_t address) {
  __asm__ volatile(MTE "ldg %0, [%0]" : "+r"(address)::"memory");
  return mte_tag_of(address);
}

/* A random tag of those that the thread's include mask allows (prctl(2)), else 0. */
static inline unsigned mte_random(uint16_t excluded) {
  uintptr_t chosen = 0;
  __asm__ volatile(MTE "irg %0, %0, %1" : "+r"(chosen) : "r"((uintptr_t)excluded));
  return mte_tag_of(chosen);
}

/* Whether this thread's accesses go unchecked from here on; returns whether they did. */
static inline bool mte_ignore(bool ignore) {
  uintptr_t before;
  __asm__ volatile(MTE "mrs %0, tco\n msr tco, %1"
                   : "=&r"(before)
                   : "r"((uintptr_t)ignore << 25)
                   : "memory");
  return before >> 25 & 1;
}

/* Bytes that one DC GVA tags; 0 where it is not allowed (DCZID_EL0). */
static inline size_t mte_line(void) {
  uintptr_t id;
  __asm__("mrs %0, dczid_el0" : "=r"(id));
  return id & 16 ? 0 : (size_t)4 << (id & 15);
}

/* Tags writable memory in whole granules, and leaves its content alone. */
static inline void mte_tag(uintptr_t from, uintptr_t to, unsigned tag) {
  size_t line = mte_line();
  uintptr_t at = mte_with_tag(from, tag), end = mte_with_tag(to, tag);
  while (at < end && (!line || at % line || end - at < line)) {
    __asm__ volatile(MTE "stg %0, [%0]" ::"r"(at) : "memory");
    at += MTE_GRANULE;
  }
  for (; line && at < end && end - at >= line; at += line)
    __asm__ volatile(MTE "dc gva, %0" ::"r"(at) : "memory");
  for (; at < end; at += MTE_GRANULE) __asm__ volatile(MTE "stg %0, [%0]" ::"r"(at) : "memory");
}

#else

enum { MTE_ABLE = false };

static inline uintptr_t mte_untag(uintptr_t pointer) {
  return pointer;
}
static inline unsigned mte_tag_at(uintptr_t address) {
  return (void)address, 0;
}
static inline unsigned mte_random(uint16_t excluded) {
  return (void)excluded, 0;
}
static inline bool mte_ignore(bool ignore) {
  return (void)ignore, false;
}
static inline void mte_tag(uintptr_t from, uintptr_t to, unsigned tag) {
  (void)from, (void)to, (void)tag;
}

#endif

#endif
