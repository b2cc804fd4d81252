/* Requests of a process that is recorded (watch/ring.h): each is served as it would be, and told.
 * malloc's contract; not async-signal-safe. */
#ifndef PATALLOC_RECORDED_H
#define PATALLOC_RECORDED_H

#include "heap/heap.h"

/* Opens what the option record asks for; what can't be made is told in a line, and done without.
 * False then. */
bool recorded_start(const struct options *options);

void *recorded_malloc(struct patalloc_heap *heap, size_t size);
void *recorded_calloc(struct patalloc_heap *heap, size_t count, size_t size);
void *recorded_aligned(struct patalloc_heap *heap, size_t alignment, size_t size);
void *recorded_realloc(struct patalloc_heap *heap, void *pointer, size_t size);
void recorded_free(struct patalloc_heap *heap, void *pointer);

/* The process is about to end: what was written of the blocks that are left. */
void recorded_end(struct patalloc_heap *heap);

#endif
