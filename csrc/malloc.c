/* malloc and its kin on a heap (see patalloc.h): small requests go to the primary and are filled
 * with stores; large ones become blocks of an arena. A live block changes hands by an atomic
 * exchange of its state, so that of two frees only one wins, and the other is reported. */
#include "careful.h"
#include "fill.h"
#include "heap.h"
#include "history.h"
#include "hunt.h"
#include "patalloc.h"
#include "primary.h"
#include "quarantine.h"
#include "report.h"
#include "slack.h"
#include "tag.h"

#include <errno.h>
#include <string.h>

static bool is_large(const struct patalloc_heap *heap, size_t size) {
  return size >= heap->options.threshold;
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Small requests */

static void *fill_small(struct patalloc_heap *heap, void *pointer, size_t from) {
  const struct options *options = &heap->options;
  if (__builtin_expect(pointer && options->small_fill && options->pattern.size, true)) {
    size_t usable = primary_usable_size(pointer);
    if (__builtin_expect(from < usable, true))
      fill_pattern(options->pattern, (char *)pointer + from, usable - from);
  }
  return pointer;
}

static void count_small(struct patalloc_heap *heap, size_t size) {
  if (__builtin_expect(!heap->options.count, true)) return;
  struct stats *stats = heap_stats(heap);
  stats_add(stats, STAT_SMALL_REQUESTS, 1);
  stats_add(stats, STAT_SMALL_BYTES, size);
}

static void *small_aligned(struct patalloc_heap *heap, size_t alignment, size_t size) {
  count_small(heap, size);
  if (__builtin_expect(heap->careful, false)) return careful_aligned(heap, alignment, size);
  return fill_small(heap, alignment ? primary_aligned(alignment, size) : primary_malloc(size), 0);
}

static void *small_calloc(struct patalloc_heap *heap, size_t size) {
  count_small(heap, size);
  if (__builtin_expect(heap->careful, false)) return careful_calloc(heap, size);
  return fill_small(heap, primary_calloc(1, size), size); /* the slack: realloc may hand it out */
}

static size_t small_usable_size(struct patalloc_heap *heap, const char *call, void *pointer) {
  return heap->careful ? careful_usable_size(heap, call, pointer) : primary_usable_size(pointer);
}

static void free_small(struct patalloc_heap *heap, void *pointer) {
  if (__builtin_expect(heap->careful, false)) return careful_free(heap, pointer);
  primary_free(pointer);
}

/* Large blocks */

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

static void count_resized(struct patalloc_heap *heap, size_t before, size_t after) {
  usage_subtract(&heap->usage, 0, before);
  usage_add(&heap->usage, 0, after);
}

static void warn_unpatterned(struct patalloc_heap *heap) {
  stats_add(heap_stats(heap), STAT_FALLBACK_NO_MEMORY, 1);
  if (!atomic_exchange(&heap->warned, true))
    report_line("a block holds zeros, not the pattern: no refpage could be mapped for it, and a "
                "memset of it would not fit in memory (said once)");
}

/* Whether page faults on so many bytes are better taken all at once. */
static bool populates(const struct patalloc_heap *heap, size_t bytes) {
  enum { LEAST = 16 };
  return heap->options.fill == FILL_AUTO && bytes >> os_page_shift >= LEAST &&
         options_use(&heap->options, OS_POPULATE);
}

/* Fills pages that hold zeros. Page faults are taken all at once where there are many. */
static void store(struct patalloc_heap *heap, uintptr_t from, uintptr_t end) {
  uintptr_t first = page_up(from), last = page_down(end);
  if (last > first && populates(heap, last - first)) os_populate(first, last - first);
  fill_pattern(heap->options.pattern, (void *)from, end - from);
}

/* A block of the stored arena, of which the first `kept` pages hold the pattern already. */
static enum block_fill fill_block(struct patalloc_heap *heap, uint32_t granule, uint32_t kept) {
  uintptr_t end = block_end(granule);
  uintptr_t from = block_pages(granule) + ((uintptr_t)kept << os_page_shift);
  if (!fill_fits(end - from)) {
    warn_unpatterned(heap);
    return BLOCK_UNPATTERNED;
  }
  store(heap, from, end);
  return BLOCK_MEMSET;
}

/* A freed block before a new one: its guards are in place, and its pages may be kept. */
static uint32_t take(struct patalloc_heap *heap, struct arena *arena, size_t size, size_t alignment,
                     uint32_t *kept) {
  uint32_t granule = arena_take_freed(arena, size, alignment, false, kept);
  if (granule && *kept) stats_add(arena->stats, STAT_BLOCKS_KEPT, 1);
  if (granule) retain_reused(arena, size);
  if (granule) return granule;
  heap_make_room(heap, size);
  return arena_take_new(arena, size, alignment);
}

/* The same where pages that are not kept hold what they are to hold. Those that the program will
 * write are made by one call, if there are many. */
static uint32_t take_ready(struct patalloc_heap *heap, struct arena *arena, size_t size,
                           size_t alignment) {
  uint32_t kept, granule = take(heap, arena, size, alignment, &kept);
  if (!granule || kept) return granule;
  uintptr_t start = block_pages(granule);
  size_t bytes =
      least((size_t)retain_prefix(arena, size) << os_page_shift, block_end(granule) - start);
  if (populates(heap, bytes) && fill_fits(bytes)) os_populate(start, bytes);
  return granule;
}

static uint32_t take_stored(struct patalloc_heap *heap, size_t size, size_t alignment,
                            enum block_fill *fill) {
  uint32_t kept, granule = take(heap, heap_arena(heap, STORED), size, alignment, &kept);
  if (granule) *fill = fill_block(heap, granule, kept);
  return granule;
}

/* Blocks of a size that is written throughout cost less in memory that is filled beforehand. */
static uint32_t take_dense(struct patalloc_heap *heap, struct arena *patterned, size_t size,
                           size_t alignment, enum block_fill *fill) {
  uint32_t kept, granule = arena_take_freed(patterned, size, alignment, true, &kept);
  if (granule) {
    stats_add(patterned->stats, STAT_BLOCKS_KEPT, 1);
    retain_reused(patterned, size);
    return granule;
  }
  if (!fill_fits(size)) return 0;
  granule = take_stored(heap, size, alignment, fill);
  if (granule) stats_add(patterned->stats, STAT_BLOCKS_DENSE, 1);
  return granule;
}

static uint32_t take_patterned(struct patalloc_heap *heap, size_t size, size_t alignment,
                               enum block_fill *fill) {
  const struct options *options = &heap->options;
  uint32_t granule = 0;
  *fill = options->pattern.size ? BLOCK_REFPAGE : BLOCK_NONE;
  if (heap->refpage) {
    struct arena *patterned = heap_arena(heap, PATTERNED);
    bool learns = options->fill == FILL_AUTO && heap->refpage != &refpage_zero && !heap->tagged;
    if (learns && retain_is_dense(patterned, size))
      granule = take_dense(heap, patterned, size, alignment, fill);
    if (!granule) granule = take_ready(heap, patterned, size, alignment);
    if (granule) return granule;
  }
  granule = take_stored(heap, size, alignment, fill);
  if (!granule) return 0;
  if (heap->refpage)
    stats_add(heap_stats(heap), STAT_FALLBACK_NO_SPAN, 1);
  else if (options->fill != FILL_MEMSET && options->backend != BACKEND_NONE)
    stats_add(heap_stats(heap), STAT_FALLBACK_NO_REFPAGE, 1);
  return granule;
}

/* Publishes a block: from here on it is the program's. */
static void *hand_out(uint32_t granule, enum block_fill fill) {
  region.table[granule].fill = (uint8_t)fill;
  atomic_store_explicit(&region.table[granule].state, GRANULE_LIVE, memory_order_release);
  return block_pointer(granule);
}

static struct arena *arena_of(uint32_t granule) {
  return run_at(region.table[granule].run)->arena;
}

/* A block's pages from the other refpage, and the ends of the part with stores; or all of it so. */
RARE static void fill_part(struct patalloc_heap *heap, uint32_t granule, uintptr_t from,
                           uintptr_t end) {
  struct pattern pattern = hunt_pattern(&heap->options);
  uintptr_t first = page_up(from), last = page_down(end);
  struct run *run = run_at(region.table[granule].run);
  bool mapped = heap->other && first < last && run_overlay(run, first, last, heap->other);
  if (!mapped && !fill_fits(end - from)) return warn_unpatterned(heap);
  if (!mapped) return fill_pattern(pattern, (void *)from, end - from);
  fill_pattern(pattern, (void *)from, first - from);
  fill_pattern(pattern, (void *)last, end - last);
}

RARE static void fill_chosen(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  struct choice choice = hunt_count(&heap->options, size);
  for (size_t i = 0; i < choice.count; i++) {
    uintptr_t start = block_address(granule), from = start, end = start + size;
    if (hunt_part(&choice, i, start, &from, &end)) fill_part(heap, granule, from, end);
  }
}

/* With a run of its own, whatever it holds (see hunt.h). */
RARE static uint32_t take_hunted(struct patalloc_heap *heap, size_t size, size_t alignment,
                                 bool zero, enum block_fill *fill) {
  struct arena *arena = heap_arena(heap, zero ? ZEROED : heap->refpage ? PATTERNED : STORED);
  uint32_t granule = arena_take_alone(arena, size, alignment);
  if (!granule || zero) return granule;
  *fill = heap->refpage ? BLOCK_REFPAGE : fill_block(heap, granule, 0);
  fill_chosen(heap, granule, size);
  return granule;
}

static void *take_block(struct patalloc_heap *heap, size_t size, size_t alignment, bool zero) {
  enum block_fill fill = BLOCK_ZERO;
  uint32_t granule = heap->hunts ? take_hunted(heap, size, alignment, zero, &fill)
                     : zero      ? take_ready(heap, heap_arena(heap, ZEROED), size, alignment)
                                 : take_patterned(heap, size, alignment, &fill);
  if (!granule) return NULL;
  if (!heap->tagged)
    region.table[granule].tag = 0;
  else if (!tag_take(&heap->options, granule))
    return arena_retire(arena_of(granule), granule, 0), NULL;
  count_block(heap, size, fill);
  if (heap->reports) history_allocated(&heap->options, granule);
  return hand_out(granule, fill);
}

/* What the allocator itself does to blocks' memory is not checked: it has no tagged pointers. */
static bool ignore_tags(const struct patalloc_heap *heap) {
  if (!heap->tagged) return false;
  tag_check_thread(&heap->options);
  return mte_ignore(true);
}

static void heed_tags(const struct patalloc_heap *heap, bool before) {
  if (heap->tagged) mte_ignore(before);
}

/* A large request that no arena can serve goes to the primary, and is filled if that fits: to its
 * usable size, which realloc may hand out. */
static void *large_from_primary(struct patalloc_heap *heap, size_t size, size_t alignment,
                                bool zero) {
  if (size > PTRDIFF_MAX || (!zero && !fill_fits(size))) return errno = ENOMEM, NULL;
  stats_add(heap_stats(heap), STAT_FALLBACK_PRIMARY, 1);
  if (heap->careful)
    return zero ? careful_calloc(heap, size) : careful_aligned(heap, alignment, size);
  void *pointer = zero        ? primary_calloc(1, size)
                  : alignment ? primary_aligned(alignment, size)
                              : primary_malloc(size);
  if (!pointer) return NULL;
  size_t from = zero ? size : 0;
  fill_pattern(heap->options.pattern, (char *)pointer + from, primary_usable_size(pointer) - from);
  return pointer;
}

static void *allocate(struct patalloc_heap *heap, size_t size, size_t alignment, bool zero) {
  heap_expect_fork();
  if (!heap_prepare(heap)) return large_from_primary(heap, size, alignment, zero);
  if (size > region_size() || alignment > region_size()) return errno = ENOMEM, NULL;
  int error = errno;
  bool ignored = ignore_tags(heap);
  void *pointer = take_block(heap, size, alignment, zero);
  heed_tags(heap, ignored);
  if (!pointer) return errno = ENOMEM, NULL;
  errno = error;
  return pointer;
}

void *patalloc_malloc(patalloc_heap *heap, size_t size) {
  return is_large(heap, size) ? allocate(heap, size, 0, false) : small_aligned(heap, 0, size);
}

void *patalloc_calloc(patalloc_heap *heap, size_t count, size_t size) {
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) return errno = ENOMEM, NULL;
  return is_large(heap, total) ? allocate(heap, total, 0, true) : small_calloc(heap, total);
}

void *patalloc_aligned_alloc(patalloc_heap *heap, size_t alignment, size_t size) {
  if (!alignment || alignment & (alignment - 1)) return errno = EINVAL, NULL;
  return is_large(heap, size) ? allocate(heap, size, alignment, false)
                              : small_aligned(heap, alignment, size);
}

/* Claiming */

static bool starts_at(const patalloc_heap *heap, uint32_t granule, const void *pointer) {
  return block_pointer(granule) == pointer && heap_owns(heap, granule);
}

/* Makes the block that starts at `pointer` this thread's alone; 0 where that is no live block of
 * this heap, which has been reported then. */
static uint32_t claim(struct patalloc_heap *heap, const char *call, const void *pointer) {
  uint32_t granule = granule_of(mte_untag((uintptr_t)pointer)), live = GRANULE_LIVE;
  if (region_known(granule) &&
      atomic_compare_exchange_strong_explicit(&region.table[granule].state, &live, GRANULE_BUSY,
                                              memory_order_acquire, memory_order_relaxed)) {
    if (starts_at(heap, granule, pointer)) return granule;
    atomic_store_explicit(&region.table[granule].state, GRANULE_LIVE, memory_order_release);
  }
  report_misuse(heap, call, pointer);
  return 0;
}

static void check_slack(struct patalloc_heap *heap, const char *call, uint32_t granule) {
  if (slack_checks(&heap->options, SLACK_LARGE)) slack_check_block(heap, call, granule);
}

size_t patalloc_usable_size(patalloc_heap *heap, void *pointer) {
  if (!pointer) return 0;
  if (!region_holds(pointer)) return small_usable_size(heap, "malloc_usable_size", pointer);
  uint32_t granule = granule_of(mte_untag((uintptr_t)pointer));
  if (region_known(granule) && block_state(granule) == GRANULE_LIVE &&
      starts_at(heap, granule, pointer))
    return heap_usable_size(heap, granule);
  report_misuse(heap, "malloc_usable_size", pointer);
  return 0;
}

/* Free */

static void count_dirty(struct patalloc_heap *heap, uintptr_t start, size_t bytes) {
  long dirty = heap->options.count ? heap_dirty_pages(heap, start, bytes) : -1;
  if (dirty < 0) return;
  stats_add(heap_stats(heap), STAT_PAGES_COUNTED, bytes >> os_page_shift);
  stats_add(heap_stats(heap), STAT_PAGES_DIRTIED, (uint64_t)dirty);
}

/* With tags, to pages that stale pointers fault on. */
static void give_retagged(struct arena *arena, uint32_t granule) {
  stats_add(arena->stats, STAT_FREES_RESET, 1);
  (tag_drop(granule) ? arena_give : arena_retire)(arena, granule, 0);
}

static bool comes_tagged(uint32_t granule) {
  return refpage_comes_tagged(run_at(region.table[granule].run)->refpage);
}

/* What is pushed out of the quarantine is mapped and reset, or has a run of its own, unmapped. */
static void give_from_quarantine(uint32_t granule) {
  struct arena *arena = arena_of(granule);
  stats_add(arena->stats, STAT_FREES_RESET, 1);
  (run_is_solo(run_at(region.table[granule].run)) ? arena_retire : arena_give)(arena, granule, 0);
}

static bool keep_in_quarantine(struct patalloc_heap *heap, uint32_t granule) {
  if (heap->options.on_free != ON_FREE_QUARANTINE) return false;
  if (!quarantine_take(heap, granule)) return false;
  while ((granule = quarantine_release(heap))) give_from_quarantine(granule);
  return true;
}

static void free_block(struct patalloc_heap *heap, uint32_t granule) {
  heap_expect_fork();
  if (heap->reports) history_freed(&heap->options, granule);
  count_dirty(heap, block_pages(granule), block_end(granule) - block_pages(granule));
  usage_subtract(&heap->usage, 1, region.table[granule].size);
  stats_add(heap_stats(heap), STAT_FREES, 1);
  primary_large_freed(region.table[granule].size);
  if (keep_in_quarantine(heap, granule)) return;
  if (heap->hunts) return arena_retire(arena_of(granule), granule, 0);
  (comes_tagged(granule) ? give_retagged : retain)(arena_of(granule), granule);
}

__attribute__((noinline)) static void free_large(struct patalloc_heap *heap, void *pointer) {
  int error = errno;
  bool ignored = ignore_tags(heap);
  uint32_t granule = claim(heap, "free", pointer);
  if (granule) check_slack(heap, "free", granule);
  if (granule) free_block(heap, granule);
  heed_tags(heap, ignored);
  errno = error;
}

/* Memory that is idle is let go of by the frees that come after, small ones too. */
__attribute__((noinline)) static void free_and_tick(struct patalloc_heap *heap, void *pointer) {
  int error = errno;
  heap_tick(heap);
  errno = error;
  region_holds(pointer) ? free_large(heap, pointer) : free_small(heap, pointer);
}

/* What is rare is out of line, so that this needs no registers saved. */
void patalloc_free(patalloc_heap *heap, void *pointer) {
  enum { FREES_A_TICK = 256 };
  static _Thread_local unsigned frees __attribute__((tls_model("initial-exec")));
  if (++frees % FREES_A_TICK == 0) return free_and_tick(heap, pointer);
  region_holds(pointer) ? free_large(heap, pointer) : free_small(heap, pointer);
}

/* Realloc */

static void *keep(struct patalloc_heap *heap, uint32_t granule, size_t before) {
  if (heap->tagged) tag_resized(granule, before);
  if (heap->reports) history_allocated(&heap->options, granule);
  count_resized(heap, before, region.table[granule].size);
  stats_add(heap_stats(heap), STAT_REALLOCS_IN_PLACE, 1);
  return hand_out(granule, (enum block_fill)region.table[granule].fill);
}

static bool holds_pattern(const struct patalloc_heap *heap, const struct refpage *refpage) {
  return refpage == heap->refpage || (refpage_comes_tagged(refpage) && heap->refpage &&
                                      refpage->pattern.word == heap->refpage->pattern.word);
}

/* Zero pages that a block has grown by get the pattern by stores; refpages hold it already. From
 * then on its last page holds the pattern to its end, as a block's does that was filled. */
static void fill_growth(struct patalloc_heap *heap, uint32_t granule, uintptr_t from) {
  uintptr_t end = block_end(granule);
  uint8_t *fill = &region.table[granule].fill;
  bool fits = true;
  if (from < end && !holds_pattern(heap, run_at(region.table[granule].run)->refpage)) {
    fits = fill_fits(end - from);
    if (fits) store(heap, from, end);
    if (!fits) warn_unpatterned(heap);
  }
  if (!fits)
    *fill = BLOCK_UNPATTERNED;
  else if (*fill == BLOCK_ZERO)
    *fill = BLOCK_MEMSET;
}

/* Within the pages that the block has. What it gives up is patterned again. */
static void *resize_within(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  size_t before = region.table[granule].size;
  uintptr_t address = block_address(granule);
  if (size < before) {
    arena_shrink(run_at(region.table[granule].run)->arena, granule, size);
    fill_pattern(heap->options.pattern, (void *)(address + size),
                 block_end(granule) - address - size);
    if (region.table[granule].fill == BLOCK_ZERO) region.table[granule].fill = BLOCK_MEMSET;
  } else {
    region.table[granule].size = size;
    if (region.table[granule].fill == BLOCK_ZERO) fill_growth(heap, granule, address + before);
  }
  return keep(heap, granule, before);
}

static void *grow_in_place(struct patalloc_heap *heap, uint32_t granule, size_t size) {
  size_t before = region.table[granule].size;
  uintptr_t end = block_end(granule);
  if (!arena_grow(run_at(region.table[granule].run)->arena, granule, size)) return NULL;
  fill_growth(heap, granule,
              region.table[granule].fill == BLOCK_ZERO ? block_address(granule) + before : end);
  return keep(heap, granule, before);
}

/* A growing block that is written up to its end goes on in memory that is filled beforehand; one
 * that is large by then stays where it is, as it would have to be copied. */
static struct arena *arena_for_growth(struct patalloc_heap *heap, uint32_t granule) {
  enum { COPY_MOST = 8 << 20 };
  struct arena *arena = run_at(region.table[granule].run)->arena;
  bool patterned = heap->options.fill == FILL_AUTO && arena->refpage == heap->refpage &&
                   heap->refpage != &refpage_zero && !heap->tagged;
  bool moves = patterned && region.table[granule].size <= COPY_MOST;
  return moves && retain_reaches_end(arena, granule) ? heap_arena(heap, STORED) : arena;
}

/* To a run with room to grow further, by moving pages where that is possible. */
static void *move(struct patalloc_heap *heap, uint32_t granule, size_t size, struct arena *arena) {
  struct granule *record = &region.table[granule];
  struct run *run = run_at(record->run);
  uintptr_t address = block_address(granule), start = block_pages(granule),
            end = block_end(granule);
  size_t before = record->size;
  bool moved;
  uint32_t target = arena_move(arena, granule, size, &moved);
  if (!target) return NULL;
  stats_add(heap_stats(heap), moved ? STAT_REALLOCS_MOVED : STAT_REALLOCS_COPIED, 1);
  region.table[target].fill = arena == run->arena ? record->fill : BLOCK_MEMSET;
  fill_growth(heap, target,
              block_address(target) + (record->fill == BLOCK_ZERO ? before : end - address));
  if (heap->tagged) tag_resized(target, comes_tagged(target) ? before : 0); /* none is copied */
  count_resized(heap, before, size);
  if (heap->reports) {
    history_allocated(&heap->options, target);
    history_freed(&heap->options, granule);
  }
  void *pointer = hand_out(target, region.table[target].fill);
  if (keep_in_quarantine(heap, granule)) return pointer;
  if (comes_tagged(granule)) return give_retagged(arena, granule), pointer;
  run_reset(run, start, end - start, &heap->options);
  arena_give(run->arena, granule, 0);
  return pointer;
}

/* To anywhere, by copying; the block itself is not given up. */
static void *copy(struct patalloc_heap *heap, const void *pointer, size_t have, size_t size) {
  void *target = patalloc_malloc(heap, size);
  if (!target) return NULL;
  memcpy(target, pointer, least(have, size));
  return target;
}

static void *realloc_claimed(struct patalloc_heap *heap, uint32_t granule, void *pointer,
                             size_t size) {
  size_t have = block_end(granule) - block_address(granule), before = region.table[granule].size;
  check_slack(heap, "realloc", granule);
  if (!size) return free_block(heap, granule), NULL;
  void *moved = NULL;
  bool in_place = !heap->hunts; /* else what it gives is an allocation like any other */
  if (in_place && size <= have && is_large(heap, size)) return resize_within(heap, granule, size);
  if (in_place && size > have && size <= region_size()) {
    struct arena *arena = arena_for_growth(heap, granule);
    if (arena == run_at(region.table[granule].run)->arena)
      moved = grow_in_place(heap, granule, size);
    if (!moved) moved = move(heap, granule, size, arena);
    if (moved) return moved;
  }
  moved = copy(heap, pointer, before, size);
  if (moved) {
    stats_add(heap_stats(heap), STAT_REALLOCS_COPIED, 1);
    free_block(heap, granule);
    return moved;
  }
  if (size <= have) return resize_within(heap, granule, size);
  hand_out(granule, region.table[granule].fill);
  return errno = ENOMEM, NULL;
}

static void *realloc_large(struct patalloc_heap *heap, void *pointer, size_t size) {
  heap_expect_fork();
  bool ignored = ignore_tags(heap);
  uint32_t granule = claim(heap, "realloc", pointer);
  void *moved = granule ? realloc_claimed(heap, granule, pointer, size) : (errno = EINVAL, NULL);
  heed_tags(heap, ignored);
  return moved;
}

static void *realloc_small(struct patalloc_heap *heap, void *pointer, size_t size) {
  size_t have = small_usable_size(heap, "realloc", pointer);
  if (!is_large(heap, size)) {
    count_small(heap, size);
    if (heap->careful) return careful_realloc(heap, pointer, have, size);
    return fill_small(heap, primary_realloc(pointer, size), least(size, have));
  }
  void *moved = copy(heap, pointer, have, size);
  if (moved) free_small(heap, pointer);
  return moved;
}

void *patalloc_realloc(patalloc_heap *heap, void *pointer, size_t size) {
  if (!pointer) return patalloc_malloc(heap, size);
  return (region_holds(pointer) ? realloc_large : realloc_small)(heap, pointer, size);
}
