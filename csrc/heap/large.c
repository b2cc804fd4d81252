/* Large requests (see large.h). */
#include "heap/large.h"

#include "blocks/place.h"
#include "blocks/tag.h"
#include "heap/altered.h"
#include "heap/fork.h"
#include "heap/primary.h"
#include "os/features.h"
#include "os/memory.h"
#include "pages/fill.h"
#include "watch/history.h"
#include "watch/origin.h"
#include "watch/report.h"
#include "watch/resume.h"
#include "watch/slack.h"

#include <errno.h>

/* Filling */

/* Whether page faults on so many bytes are better taken all at once. */
static bool populates(const struct patalloc_heap *heap, size_t bytes) {
  enum { LEAST = 16 };
  return heap->options.fill == FILL_AUTO && bytes >> os_page_shift >= LEAST &&
         os_uses(&heap->options, OS_POPULATE);
}

void large_warn_unpatterned(struct patalloc_heap *heap) {
  stats_add(heap_stats(heap), STAT_FALLBACK_NO_MEMORY, 1);
  if (!atomic_exchange(&heap->warned, true))
    report_line("a block holds zeros, not the pattern: no refpage could be mapped for it, and a "
                "memset of it would not fit in memory (said once)");
}

/* Page faults are taken all at once where there are many. */
bool large_store(struct patalloc_heap *heap, struct pattern pattern, uintptr_t from,
                 uintptr_t end) {
  uintptr_t first = page_up(from), last = page_down(end);
  if (!fill_fits(end - from)) return large_warn_unpatterned(heap), false;
  if (last > first && populates(heap, last - first)) os_populate(first, last - first);
  fill_pattern(pattern, (void *)from, end - from);
  return true;
}

enum block_fill large_fill(struct patalloc_heap *heap, uint32_t granule, uint32_t kept) {
  uintptr_t from = block_pages(granule) + ((uintptr_t)kept << os_page_shift);
  bool stored = large_store(heap, block_arena(granule)->pattern, from, block_end(granule));
  return stored ? BLOCK_MEMSET : BLOCK_UNPATTERNED;
}

/* Taking */

/* A freed block before a new one: its guards are in place, and its pages may be kept. */
static uint32_t take(struct patalloc_heap *heap, struct arena *arena, size_t size, size_t alignment,
                     uint32_t *kept) {
  struct density *density = retain_class(arena, size);
  enum taking taking = retain_is_sparse(density) ? TAKE_SAME : TAKE_ANY;
  uint32_t granule = arena_take_freed(arena, size, alignment, taking, kept);
  if (granule && *kept) stats_add(arena->stats, STAT_BLOCKS_KEPT, 1);
  if (granule) retain_reused(density);
  if (!granule || !*kept) heap_make_room(heap, retain_known(density, size));
  if (!granule) granule = place_new(arena, size, alignment);
  if (granule || taking == TAKE_ANY) return granule;
  return arena_take_freed(arena, size, alignment, TAKE_ANY, kept);
}

/* The same where pages that are not kept hold what they are to hold. Those that the program will
 * write are made by one call, if there are many. */
static uint32_t take_ready(struct patalloc_heap *heap, struct arena *arena, size_t size,
                           size_t alignment) {
  uint32_t kept, granule = take(heap, arena, size, alignment, &kept);
  if (!granule || kept) return granule;
  uintptr_t start = block_pages(granule);
  size_t bytes = (size_t)retain_prefix(retain_class(arena, size)) << os_page_shift;
  if (bytes > block_end(granule) - start) bytes = block_end(granule) - start;
  if (populates(heap, bytes) && fill_fits(bytes)) os_populate(start, bytes);
  return granule;
}

static uint32_t take_stored(struct patalloc_heap *heap, size_t size, size_t alignment,
                            enum block_fill *fill) {
  uint32_t kept,
      granule = take(heap, content_arena(&heap->contents, STORED), size, alignment, &kept);
  if (granule) *fill = large_fill(heap, granule, kept);
  return granule;
}

/* Blocks of a size that is written throughout cost less in memory that is filled beforehand. */
static uint32_t take_dense(struct patalloc_heap *heap, struct arena *patterned, size_t size,
                           size_t alignment, enum block_fill *fill) {
  uint32_t kept, granule = arena_take_freed(patterned, size, alignment, TAKE_KEPT, &kept);
  if (granule) {
    stats_add(patterned->stats, STAT_BLOCKS_KEPT, 1);
    retain_reused(retain_class(patterned, size));
    return granule;
  }
  if (!fill_fits(size)) return 0;
  granule = take_stored(heap, size, alignment, fill);
  if (granule) stats_add(patterned->stats, STAT_BLOCKS_DENSE, 1);
  return granule;
}

/* Not of a block that goes on growing: most of what is filled would be copied, and soon freed. */
static uint32_t take_patterned(struct patalloc_heap *heap, const struct request *request,
                               enum block_fill *fill) {
  const struct options *options = &heap->options;
  size_t size = request->size, alignment = request->alignment;
  bool growing = request->content == HOLDS_GROWTH;
  uint32_t granule = 0;
  *fill = options->pattern.size ? BLOCK_REFPAGE : BLOCK_NONE;
  struct arena *patterned = content_patterned(&heap->contents);
  if (patterned) {
    if (heap->contents.now->learns && !growing &&
        retain_is_dense(retain_class(patterned, size), size))
      granule = take_dense(heap, patterned, size, alignment, fill);
    if (!granule) granule = take_ready(heap, patterned, size, alignment);
    if (granule) return granule;
  }
  granule = take_stored(heap, size, alignment, fill);
  if (!granule) return 0;
  if (patterned)
    stats_add(heap_stats(heap), STAT_FALLBACK_NO_SPAN, 1);
  else if (options->fill != FILL_MEMSET && options->backend.kind != BACKEND_NONE)
    stats_add(heap_stats(heap), STAT_FALLBACK_NO_REFPAGE, 1);
  return granule;
}

uint32_t large_take(struct patalloc_heap *heap, const struct request *request,
                    enum block_fill *fill) {
  if (request->content != HOLDS_ZEROS) return take_patterned(heap, request, fill);
  *fill = BLOCK_ZERO;
  return take_ready(heap, content_arena(&heap->contents, ZEROED), request->size,
                    request->alignment);
}

/* Giving back */

bool large_comes_tagged(uint32_t granule) {
  return refpage_comes_tagged(block_run(granule)->refpage);
}

void large_give_retagged(uint32_t granule) {
  struct arena *arena = block_arena(granule);
  stats_add(arena->stats, STAT_FREES_RESET, 1);
  (tag_drop(granule) ? arena_give : arena_retire)(arena, granule, 0);
}

void large_give(struct patalloc_heap *heap, uint32_t granule) {
  (void)heap;
  if (large_comes_tagged(granule)) return large_give_retagged(granule);
  retain(block_arena(granule), granule);
}

/* What is pushed out of the quarantine is mapped and reset, or has a run of its own, unmapped. */
static void give_from_quarantine(uint32_t granule) {
  struct arena *arena = block_arena(granule);
  stats_add(arena->stats, STAT_FREES_RESET, 1);
  (run_is_solo(block_run(granule)) ? arena_retire : arena_give)(arena, granule, 0);
}

void large_drain(struct patalloc_heap *heap) {
  uint32_t granule;
  while ((granule = quarantine_release(&heap->quarantine, &heap->options)))
    give_from_quarantine(granule);
}

bool large_quarantine(struct patalloc_heap *heap, uint32_t granule) {
  const struct options *options = &heap->options;
  bool due = options->on_free == ON_FREE_QUARANTINE;
  if (!due && !heap_guards(heap, region.table[granule].size)) return false;
  if (!quarantine_take(&heap->quarantine, granule, options)) return false;
  large_drain(heap);
  return true;
}

static void count_dirty(struct patalloc_heap *heap, uint32_t granule) {
  size_t bytes = block_end(granule) - block_pages(granule);
  long dirty = heap->options.count ? heap_dirty_pages(heap, granule) : -1;
  if (dirty < 0) return;
  stats_add(heap_stats(heap), STAT_PAGES_COUNTED, bytes >> os_page_shift);
  stats_add(heap_stats(heap), STAT_PAGES_DIRTIED, (uint64_t)dirty);
}

void large_give_up(struct patalloc_heap *heap, uint32_t granule) {
  size_t size = region.table[granule].size;
  bool sound = !altered_is(granule) || altered_restore(granule);
  resume_shut(block_pages(granule), block_end(granule));
  fork_expect();
  history_freed(&heap->watch, granule);
  count_dirty(heap, granule);
  usage_subtract(&heap->usage, 1, size);
  stats_add(heap_stats(heap), STAT_FREES, 1);
  primary.large_freed(size);
  if (!sound)
    arena_retire(block_arena(granule), granule, 0);
  else if (!large_quarantine(heap, granule))
    heap->blocks->give(heap, granule);
}

/* The family */

static void count_block(struct patalloc_heap *heap, size_t size, enum block_fill fill) {
  static const enum stat by_fill[] = {[BLOCK_REFPAGE] = STAT_BLOCKS_REFPAGE,
                                      [BLOCK_MEMSET] = STAT_BLOCKS_MEMSET,
                                      [BLOCK_ZERO] = STAT_BLOCKS_ZERO,
                                      [BLOCK_NONE] = STAT_BLOCKS_UNPATTERNED,
                                      [BLOCK_UNPATTERNED] = STAT_BLOCKS_UNPATTERNED};
  struct stats *stats = heap_stats(heap);
  stats_add(stats, STAT_BLOCKS, 1);
  stats_add(stats, by_fill[fill], 1);
  if (fill == BLOCK_REFPAGE) stats_add(stats, STAT_BYTES_REFPAGE, size);
  if (fill == BLOCK_MEMSET) stats_add(stats, STAT_BYTES_MEMSET, size);
  usage_add(&heap->usage, 1, size);
}

static void *make_block(struct patalloc_heap *heap, const struct request *request) {
  enum block_fill fill = BLOCK_ZERO;
  uint32_t granule = heap->blocks->take(heap, request, &fill);
  if (!granule) return NULL;
  if (!tag_take(&heap->options, granule))
    return arena_retire(block_arena(granule), granule, 0), NULL;
  region.table[granule].fill = (uint8_t)fill;
  count_block(heap, request->size, fill);
  retain_count(granule);
  history_allocated(&heap->watch, granule);
  return block_hand_out(granule);
}

/* Where there is no address space or memory, what is idle or kept is let go of first; then it is
 * for the primary to say. */
void *large_allocate(struct patalloc_heap *heap, const struct request *request) {
  int error = errno;
  fork_expect();
  bool fits = request->size <= region_size() && request->alignment <= region_size();
  void *pointer = fits ? make_block(heap, request) : NULL;
  if (!pointer && fits && heap_release(heap)) pointer = make_block(heap, request);
  if (!pointer) pointer = large_from_primary(heap, request);
  errno = pointer ? error : ENOMEM;
  return pointer;
}

static bool starts_at(const struct patalloc_heap *heap, uint32_t granule, const void *pointer) {
  return block_pointer(granule) == pointer && heap_owns(heap, granule);
}

uint32_t large_claim(struct patalloc_heap *heap, const char *call, const void *pointer) {
  uint32_t granule = granule_of(mte_untag((uintptr_t)pointer));
  if (region_known(granule) && block_claim(granule)) {
    if (starts_at(heap, granule, pointer)) return granule;
    block_hand_out(granule);
  }
  if (!block_is_foreign(pointer)) report_misuse(&heap->watch, call, pointer);
  return 0;
}

void large_free(struct patalloc_heap *heap, void *pointer) {
  int error = errno;
  uint32_t granule = large_claim(heap, "free", pointer);
  if (granule) {
    origin_expect_large(&heap->watch, "free", pointer, granule);
    if (!altered_is(granule)) slack_check(&heap->watch, "free", granule);
    large_give_up(heap, granule);
  } else if (block_is_foreign(pointer)) {
    heap->small->free(heap, pointer);
  }
  errno = error;
}

size_t large_usable_size(struct patalloc_heap *heap, const void *pointer) {
  uint32_t granule = granule_of(mte_untag((uintptr_t)pointer));
  if (region_known(granule) && block_state(granule) == GRANULE_LIVE &&
      starts_at(heap, granule, pointer))
    return heap_usable_size(heap, granule);
  if (block_is_foreign(pointer))
    return heap->small->usable_size(heap, "malloc_usable_size", (void *)(uintptr_t)pointer);
  report_misuse(&heap->watch, "malloc_usable_size", pointer);
  return 0;
}

/* From the primary, and filled if that fits: to its usable size, which realloc may hand out. */
void *large_from_primary(struct patalloc_heap *heap, const struct request *request) {
  const struct small_path *small = heap->unguarded;
  size_t size = request->size, alignment = request->alignment;
  bool zero = request->content == HOLDS_ZEROS;
  if (size > PTRDIFF_MAX || (!zero && !fill_fits(size))) return errno = ENOMEM, NULL;
  stats_add(heap_stats(heap), STAT_FALLBACK_PRIMARY, 1);
  void *pointer = zero        ? small->calloc(heap, size)
                  : alignment ? small->aligned(heap, alignment, size)
                              : small->malloc(heap, size);
  if (!pointer || heap->options.small_fill || heap->watch.hunts) return pointer;
  size_t from = zero ? size : 0, usable = small->usable_size(heap, "malloc", pointer);
  size_t end = usable > size ? usable : size; /* or none is told (primary.h) */
  fill_pattern(options_pattern(&heap->options), (char *)pointer + from, end - from);
  return pointer;
}
