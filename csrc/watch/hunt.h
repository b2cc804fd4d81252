/* What `patalloc hunt` asks of the core: allocations are counted by call stack (trace), and some of
 * them, or some of their bytes, hold other patterns, or codes (select); with both, what is never
 * written of these is recorded in a file beside the trace (.residue). All large blocks have runs of
 * their own then, which are released by free, so that where blocks lie does not depend on what they
 * hold.
 */
#ifndef PATALLOC_HUNT_H
#define PATALLOC_HUNT_H

#include "watch/selection.h"
#include "watch/watch.h"

static inline bool hunt_is_asked_for(const struct options *options) {
  return *options->trace || *options->select;
}

/* Of a call stack, where the options have it without. */
enum { HUNT_FRAMES = 16 };

/* Opens all of them, of the first heap that asks; what can't be used is told in a line, and done
 * without. A forked child's trace goes on in a file of its own. */
void hunt_start(const struct options *options);

/* An allocation, and what is to hold something else in it. */
struct chosen {
  struct choice choice;
  uint64_t stack, number; /* the stack's identity, and the how many-th there */
};

/* Counts an allocation by the calling thread. Ends the process by abort(3) if it is the one to stop
 * at. Must not be called in a signal handler. */
struct chosen hunt_count(const struct options *options, size_t size);

/* Counts one of zeros, which stay. */
void hunt_count_zeros(const struct options *options, size_t size);

/* The `index`-th part, as far as it lies in [from, end) of the memory at `start`; false for
 * nothing. */
bool hunt_part(const struct chosen *chosen, size_t index, uintptr_t start, uintptr_t *from,
               uintptr_t *end);

/* Whether freed blocks keep what they hold, and are handed out again. */
bool hunt_leaves_freed(void);

/* Whether that part is left as it is: in a large block, which is mapped anew, it holds the pattern.
 */
bool hunt_is_stale(const struct chosen *chosen, size_t index);

/* Fills [from, end) of the memory at `start` as that part has it. */
void hunt_fill(const struct chosen *chosen, size_t index, uintptr_t start, uintptr_t from,
               uintptr_t end);

/* A pattern for that part, which fills it in the same way; or where it has a code and the block is
 * too long for stores, the same word all over. False where it is for hunt_fill. */
bool hunt_pattern(const struct chosen *chosen, size_t index, size_t size, struct pattern *pattern);

/* The block is there, with all that it is to hold. */
void hunt_made(const struct chosen *chosen, const void *block, size_t size);

/* It is about to be freed; and the process to end. */
void hunt_freed(const void *block);
void hunt_end(void);

#endif
