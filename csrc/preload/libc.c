/* What is underneath where the core is linked, into the Python extension or a program, and not
 * preloaded: the process's malloc, and its sigaction. */
#include "heap/primary.h"

#include <malloc.h>
#include <stdlib.h>

/* glibc's own malloc, where nobody has put another in its place. */
void *__libc_malloc(size_t size) __attribute__((weak));

/* Nothing is taken from it here: it sees the frees of all blocks but those that were asked of us.
 */
static void large_freed(size_t size) {
  (void)size;
}

/* Before other constructors, which may make heaps. */
__attribute__((constructor(101))) static void hand_down(void) {
  primary = (struct primary){.malloc = malloc,
                             .calloc = calloc,
                             .realloc = realloc,
                             .aligned = memalign,
                             .free = free,
                             .usable_size = malloc_usable_size,
                             .sized = true,
                             .headed = malloc == __libc_malloc,
                             .large_freed = large_freed,
                             .sigaction = sigaction};
}
