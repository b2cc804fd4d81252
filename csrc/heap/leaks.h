/* Leaks: blocks that nobody has freed when the process ends, and that nothing points to any more.
 */
#ifndef PATALLOC_LEAKS_H
#define PATALLOC_LEAKS_H

#include "base/rare.h"

/* Tells of them by call stack, those that most bytes are lost by first; with leaks=all also of
 * those that something points to. When the process ends, in the thread that does so. */
struct patalloc_heap;
RARE void leaks_tell(struct patalloc_heap *heap);

#endif
