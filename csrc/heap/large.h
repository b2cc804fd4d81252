/* Large requests: blocks of an arena, each with a pattern, guards and a record. A live block
 * changes hands by an atomic exchange of its state, so that of two frees only one wins, and the
 * other is reported. The heap must be ready, but for functions that are given a pointer: in a heap
 * that is not there are no blocks. */
#ifndef PATALLOC_LARGE_H
#define PATALLOC_LARGE_H

#include "heap/heap.h"

/* As large_path has them. */
void *large_allocate(struct patalloc_heap *heap, const struct request *request);
void large_free(struct patalloc_heap *heap, void *pointer);

/* From the primary, of a heap that can't be made ready, and filled. */
RARE void *large_from_primary(struct patalloc_heap *heap, const struct request *request);

/* As block_path has them. */
uint32_t large_take(struct patalloc_heap *heap, const struct request *request,
                    enum block_fill *fill);
void large_give(struct patalloc_heap *heap, uint32_t granule);

/* The bytes that a block at `pointer` has for the program; 0, reported, where that is none. */
RARE size_t large_usable_size(struct patalloc_heap *heap, const void *pointer);

/* For the paths beside this one: */

/* Fills a block of the stored arena, of which the first `kept` pages hold the pattern already. */
enum block_fill large_fill(struct patalloc_heap *heap, uint32_t granule, uint32_t kept);

/* Fills [from, end) of pages that hold zeros with this pattern; false, with a warning, where that
 * would not fit in memory. */
bool large_store(struct patalloc_heap *heap, struct pattern pattern, uintptr_t from, uintptr_t end);

/* Says once that a block stays without its pattern. */
RARE void large_warn_unpatterned(struct patalloc_heap *heap);

/* The block that starts at `pointer`, this thread's alone; 0 where that is no live block of this
 * heap, which has been reported then unless it is another's mapping (block_is_foreign). */
uint32_t large_claim(struct patalloc_heap *heap, const char *call, const void *pointer);

/* Counts a block out that the program has given up, and puts it in quarantine or gives it back. */
void large_give_up(struct patalloc_heap *heap, uint32_t granule);

/* Puts a block in quarantine, where free does; false: it is as it was. */
bool large_quarantine(struct patalloc_heap *heap, uint32_t granule);

/* Gives back what the quarantine need not hold, by the options. */
RARE void large_drain(struct patalloc_heap *heap);

/* Whether a block's pages come tagged, and gives such a one back: stale pointers fault from here
 * on.
 */
bool large_comes_tagged(uint32_t granule);
RARE void large_give_retagged(uint32_t granule);

#endif
