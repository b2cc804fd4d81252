/* What the blocks of a heap hold. Its pattern may change (patalloc_configure); blocks live on with
 * the one that they came with, so for each pattern that a heap has had there are arenas. */
#ifndef PATALLOC_CONTENT_H
#define PATALLOC_CONTENT_H

#include "base/lock.h"
#include "base/stats.h"
#include "blocks/arena.h"
#include "blocks/retain.h"

enum { SHARDS = 8 };

enum arena_kind {
  PATTERNED, /* blocks from the refpage, if there is one */
  STORED,    /* anonymous memory that is filled with stores */
  ZEROED,    /* anonymous memory for calloc */
  ARENAS,
};

/* What a few threads share: a thread takes blocks from its own shard, and gives them back to the
 * one that they came from. */
struct shard {
  struct stats stats;
  struct arena arenas[ARENAS];
  struct density patterned_densities[BINS_MOST], zeroed_densities[BINS_MOST];
} __attribute__((aligned(64)));

struct content {
  struct pattern pattern;
  struct refpage *_Atomic refpage; /* NULL: blocks are filled with stores */
  _Atomic uint32_t asked;          /* milliseconds: when it was last tried for */
  _Atomic bool learns; /* whether blocks of sizes that are written throughout are filled */
  struct content *next;
  struct shard shards[SHARDS];
};

/* Of a heap: zeroed memory, of which it sets what comes before `orphaned`. */
struct contents {
  const struct options *options;
  struct lock *lock; /* held where what is below changes */
  struct usage *usage;
  bool tagged;      /* whether blocks have tags */
  size_t huge_page; /* bytes; 0: none are used */
  bool orphaned;    /* whether refpages are the parent's, and not to be had any more */
  struct content *_Atomic now, *_Atomic all; /* of new blocks; and the last one that was added */
};

/* Has new blocks hold this pattern from here on. With the lock held. False where there is no memory
 * for that: they hold what they held. */
bool content_choose(struct contents *contents, struct pattern pattern);

/* The calling thread's arena for new blocks from the refpage; NULL where there is none. What could
 * not be had is tried for again after a while, as it may have been for want of a descriptor, or of
 * memory. */
struct arena *content_patterned(struct contents *contents);

/* One of the others. */
struct arena *content_arena(struct contents *contents, enum arena_kind kind);

/* Whether pages of this refpage's hold the arena's pattern as they come. */
bool content_comes_patterned(const struct contents *contents, const struct arena *arena,
                             const struct refpage *refpage);

/* Of the arenas that are ready the one after `arena`, or the first; NULL for none. */
struct arena *content_next_arena(const struct contents *contents, const struct arena *arena);

/* Whether the arena is one of these. */
bool content_has(const struct contents *contents, const struct arena *arena);

/* The calling thread's stats; and all of them together. */
struct stats *content_stats(struct contents *contents);
uint64_t content_stats_sum(const struct contents *contents, enum stat stat);

/* In the child of a fork. */
RARE void content_restart(struct contents *contents);

/* Unmaps all: the heap ends. */
RARE void content_drop_all(struct contents *contents);

#endif
