/* Going on behind a fault that was reported (option on_fault): its page becomes accessible, and
 * holds the pattern, so that the instruction succeeds when it is tried again. It stays so, and of
 * each there is one report, until the block is freed whose guard it was (GRANULE_OPENED).
 *
 * Async-signal-safe; any thread. */
#ifndef PATALLOC_RESUME_H
#define PATALLOC_RESUME_H

#include "base/option.h"

/* Of the first heap that asks for it: its pattern is what pages hold. */
void resume_start(const struct options *options);

/* Whether that is asked for, and there have not been too many. */
bool resume_is_due(void);

/* Opens the page of this address. False where it can't be. */
bool resume_at(uintptr_t address);

/* Makes those of these addresses inaccessible again that are open. */
void resume_shut(uintptr_t from, uintptr_t to);

#endif
