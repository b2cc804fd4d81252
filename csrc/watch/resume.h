/* Going on behind a fault that was reported (option on_fault): its page becomes accessible, and
 * holds the pattern, so that the instruction succeeds when it is tried again. It stays so, and of
 * each there is one report, until the block is freed whose guard it was.
 *
 * Async-signal-safe; any thread. */
#ifndef PATALLOC_RESUME_H
#define PATALLOC_RESUME_H

#include "base/option.h"

/* Of the first heap that asks for it: its pattern is what pages hold. */
void resume_start(const struct options *options);

/* Whether that is asked for, there have not been too many, and the address is no live block's: what
 * is inaccessible of that the program has made so. */
bool resume_is_due(uintptr_t address);

/* Opens the page of this address. False where it can't be. */
bool resume_at(uintptr_t address);

/* Makes the guards inaccessible again that are open of a block with these pages, which is given up:
 * what is open less than a granule before and behind it (of a slot, a page), and of no block. */
RARE void resume_shut_around(uintptr_t start, uintptr_t end);
extern _Atomic int resumed; /* how often that was */
static inline void resume_shut(uintptr_t start, uintptr_t end) {
  if (resumed) resume_shut_around(start, end);
}

#endif
