/* The process's mappings as it ends, for a hunt, which tells how much of its memory it has seen. A
 * file that src/patalloc/hunt/coverage.py reads: a line with the heap's range, and what
 * /proc/self/smaps (proc(5)) has then. In a sandbox there is none.
 *
 * Any thread, once. */
#ifndef PATALLOC_MAPPINGS_H
#define PATALLOC_MAPPINGS_H

void mappings_write(const char *destination);

#endif
