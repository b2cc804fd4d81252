/* What a trace comes to: its events added up, by call stack, size, lifetime and time. No function
 * is thread-safe for one object. */
#ifndef PATALLOC_TRACE_FOLD_H
#define PATALLOC_TRACE_FOLD_H

#include "codec.h"

/* Of one call stack. Blocks that realloc resized are the stack's that resized them last. */
struct fold_site {
  uint64_t allocations, bytes;        /* as requested, realloc's among them */
  uint64_t temporary;                 /* freed before their thread allocated anything else */
  uint64_t freed, lifetime;           /* how many, and microseconds of them all */
  uint64_t then_blocks, then_bytes;   /* live at the moment that was asked for */
  uint64_t left_blocks, left_bytes;   /* at the end */
  uint64_t seen_pages, written_pages; /* of blocks of 1 MiB and more of which that is known */
  uint64_t largest;
};

/* Classes of sizes: four to a power of two, from 1 byte on, in which each size up to 8 has its own;
 * and of lifetimes: one to a power of two of microseconds, the first those of less than one. */
enum { FOLD_SIZES = 256, FOLD_LIVES = 48 };
struct fold_size {
  uint64_t from; /* bytes; to the next one's */
  uint64_t allocations, bytes, temporary, lifetime, freed;
  uint64_t seen_pages, written_pages;
};
struct fold_life {
  uint64_t blocks, bytes;
};

/* Of a stretch of time the most live at a time, what was asked for in it, and what was live at its
 * end. */
struct fold_time {
  uint64_t blocks, bytes, allocations, requested, freed, left_blocks, left_bytes;
};

struct fold;

/* For the stack numbers below a count; and times, so many stretches up to the last one. Pages are
 * of so many bytes. NULL without memory. */
struct fold *fold_new(uint32_t stacks, uint64_t last, uint32_t times, unsigned page_shift);

/* At a moment, behind so many events of the trace, what is live is to be added up in the sites; and
 * at other moments, times which rise, in fold_moments: for each as many numbers of bytes as there
 * are stacks. False without memory. */
bool fold_at(struct fold *fold, uint64_t moment, const uint64_t *moments, uint32_t count);
const uint64_t *fold_moments(const struct fold *fold);

void fold_free(struct fold *fold);

/* Adds the reader's next chunk; false where it is not as it should be, or without memory. */
bool fold_chunk(struct fold *fold, struct trace_reader *reader);

/* At the end: what is left counts. */
void fold_end(struct fold *fold);

const struct fold_site *fold_sites(const struct fold *fold);
const struct fold_size *fold_sizes(const struct fold *fold);
const struct fold_life *fold_lives(const struct fold *fold);
const struct fold_time *fold_times(const struct fold *fold);

#endif
