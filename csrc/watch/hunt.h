/* What `patalloc hunt` asks of the core: allocations are counted by call stack (trace), and some of
 * them, or some of their bytes, hold another pattern (select). All large blocks have runs of their
 * own then, which are released by free, so that where blocks lie does not depend on what they hold.
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

/* Opens both, of the first heap that asks; what can't be used is told in a line, and done without.
 * A forked child's trace goes on in a file of its own. */
void hunt_start(const struct options *options);

/* The other pattern; without a selection that of the options. */
struct pattern hunt_pattern(const struct options *options);

/* Counts an allocation by the calling thread, and tells which parts of it are to hold the other
 * pattern. Ends the
 * process by abort(3) if it is the one to stop at. Must not be called in a signal handler. */
struct choice hunt_count(const struct options *options, size_t size);

/* Counts one of zeros, which stay. */
void hunt_count_zeros(const struct options *options, size_t size);

/* The `index`-th part, as far as it lies in [from, end) of the memory at `start`; false for
 * nothing. */
bool hunt_part(const struct choice *choice, size_t index, uintptr_t start, uintptr_t *from,
               uintptr_t *end);

#endif
