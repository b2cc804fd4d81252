/* What free does with a block's pages (fill=auto): keep those that the program will write again,
 * rewritten with the content that the next block must have, and reset the others. Which they are is
 * learnt by size class.
 *
 * A class is known by its prefix: the pages from the front that its blocks are written in. A sparse
 * block has a short one, a dense block one as long as itself. Rewriting a kept page costs a tenth
 * of a microsecond, the page fault that a reset page takes is some fifteen times that. The prefix
 * grows when a look at the page table (a sample of the frees) finds written pages behind it, and
 * shrinks when its last page comes back unwritten. */
#ifndef PATALLOC_RETAIN_H
#define PATALLOC_RETAIN_H

#include "blocks/arena.h"

/* Read and written without a lock: a lost update costs time only. */
struct density {
  _Atomic uint32_t frees;
  _Atomic uint32_t prefix;      /* pages */
  _Atomic uint32_t scattered;   /* pages written behind it, at the last look */
  _Atomic uint16_t short_frees; /* in a row, of blocks not written up to the prefix */
  _Atomic bool reused;          /* whether a freed block was taken again */
};

/* Gives a BUSY block back: all its pages read as the arena's content, or are reset. */
void retain(struct arena *arena, uint32_t granule);

/* Counts what a block is to need of memory, as far as is known: one just placed, or resized. */
void retain_count(uint32_t granule);
void retain_count_all(uint32_t granule);

/* What is learnt of blocks of this size. */
static inline struct density *retain_class(const struct arena *arena, size_t size) {
  return &arena->densities[arena_bin(arena, size)];
}

/* The bytes that a block of this size, in this class, is to need, as far as is known. */
size_t retain_known(const struct density *density, size_t size);

/* Whether blocks of this size are big and written (nearly) throughout. */
bool retain_is_dense(const struct density *density, size_t size);

/* Whether few pages of such blocks are written. */
bool retain_is_sparse(const struct density *density);

/* The pages from the front that such a block will be written in, as far as is known. */
static inline uint32_t retain_prefix(const struct density *density) {
  return atomic_load_explicit(&density->prefix, memory_order_relaxed);
}

/* Notes that a freed block was taken again. */
static inline void retain_reused(struct density *density) {
  atomic_store_explicit(&density->reused, true, memory_order_relaxed);
}

#endif
