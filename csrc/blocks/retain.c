/* What free does with a block's pages (see retain.h). */
#include "blocks/retain.h"

#include "blocks/reset.h"
#include "os/apart.h"
#include "os/features.h"
#include "os/pagemap.h"
#include "pages/fill.h"

enum {
  FIRST_LOOKS = 2,      /* frees of a class that are looked at, and then */
  LOOK_EVERY = 16,      /* one in so many */
  LOOK_RARELY = 64,     /* after so many frees: one in so many */
  RELEARN_EVERY = 64,   /* frees after which scattered pages are forgotten */
  FEW = 16,             /* pages: of so many some more blocks cost little memory */
  MANY = 128,           /* pages: to reset them takes as long as flushing a TLB elsewhere */
  WAITING_PAGES = 2048, /* so that little memory waits even where all was written for once */
  LARGE = 16384,        /* pages */
  SHORT_FREES = 2,
  DENSE_LEAST = 32, /* pages: smaller blocks gain little */
};

static uint32_t load_relaxed(const _Atomic uint32_t *value) {
  return atomic_load_explicit(value, memory_order_relaxed);
}

static void store_relaxed(_Atomic uint32_t *value, uint32_t to) {
  atomic_store_explicit(value, to, memory_order_relaxed);
}

static uint32_t pages_known(const struct density *density) {
  return load_relaxed(&density->prefix) + load_relaxed(&density->scattered);
}

bool retain_is_dense(const struct density *density, size_t size) {
  size_t pages = page_up(size) >> os_page_shift;
  return pages >= DENSE_LEAST && retain_prefix(density) >= pages - pages / 8;
}

bool retain_is_sparse(const struct density *density) {
  return load_relaxed(&density->frees) && pages_known(density) <= FEW;
}

/* Shrinking */

static bool is_unwritten(const struct arena *arena, uintptr_t page) {
  const uint64_t *words = (const uint64_t *)page;
  size_t count = os_page / sizeof *words, same = 0;
  while (same < count && words[same] == arena->content.word) same++;
  return same == count;
}

/* The last page of the prefix, or of three quarters of it, or of three quarters of that, ... that
 * was written. */
static uint32_t written_part(const struct arena *arena, uintptr_t start, uint32_t prefix) {
  while (prefix && is_unwritten(arena, start + ((uintptr_t)(prefix - 1) << os_page_shift)))
    prefix -= prefix / 4 + 1;
  return prefix;
}

static void shrink(const struct arena *arena, struct density *density, uintptr_t start,
                   uint32_t prefix) {
  uint32_t written = written_part(arena, start, prefix);
  unsigned in_a_row = written == prefix ? 0 : density->short_frees + 1u;
  if (in_a_row >= SHORT_FREES) store_relaxed(&density->prefix, written);
  density->short_frees = in_a_row < SHORT_FREES ? (uint16_t)in_a_row : 0;
}

/* Growing */

static bool is_looked_at(uint32_t frees) {
  return frees < FIRST_LOOKS || frees % (frees < LOOK_RARELY ? LOOK_EVERY : LOOK_RARELY) == 0;
}

struct look {
  uintptr_t next; /* where the prefix would go on */
  size_t leading, all;
};

static void note_dirty(void *context, uintptr_t from, uintptr_t to) {
  struct look *look = context;
  size_t pages = (to - from) >> os_page_shift;
  look->all += pages;
  if (from != look->next) return;
  look->leading += pages;
  look->next = to;
}

static bool can_scan(const struct arena *arena) {
  return os_is_alone() && refpage_scans(arena->refpage) && os_uses(arena->options, OS_PAGEMAP_SCAN);
}

/* By reading, one page more than was written: for as long as it takes there is no descriptor that
 * another thread could be troubled by (os/apart.h), and no file is needed. */
static uint32_t grow_by_reading(const struct arena *arena, struct density *density, uintptr_t start,
                                uint32_t prefix, uint32_t pages) {
  while (prefix < pages && !is_unwritten(arena, start + ((uintptr_t)prefix << os_page_shift)))
    prefix++;
  store_relaxed(&density->prefix, prefix);
  store_relaxed(&density->scattered, 0);
  return prefix;
}

static uint32_t grow(const struct arena *arena, struct density *density, uintptr_t start,
                     uint32_t prefix, uint32_t pages) {
  if (!os_is_alone() || !os_uses(arena->options, OS_PROC))
    return grow_by_reading(arena, density, start, prefix, pages);
  struct look look = {.next = start + ((uintptr_t)prefix << os_page_shift)};
  size_t rest = (size_t)(pages - prefix) << os_page_shift;
  if (!os_dirty_ranges(look.next, rest, can_scan(arena), note_dirty, &look)) return prefix;
  prefix += (uint32_t)look.leading;
  store_relaxed(&density->prefix, prefix);
  store_relaxed(&density->scattered, (uint32_t)(look.all - look.leading));
  return prefix;
}

/* The prefix of a block that is being freed, having looked at it if that is due. */
static uint32_t learn(const struct arena *arena, struct density *density, uintptr_t start,
                      uint32_t pages) {
  uint32_t frees = load_relaxed(&density->frees), prefix = load_relaxed(&density->prefix);
  store_relaxed(&density->frees, frees + 1);
  if (prefix > pages) prefix = pages;
  if (prefix == pages || !is_looked_at(frees)) return prefix;
  return grow(arena, density, start, prefix, pages);
}

/* What is counted as needed of a block of this size: once one was freed what those were seen to
 * write, before that all of it. */
static uint32_t pages_needed(const struct arena *arena, uint32_t granule) {
  const struct density *density = retain_class(arena, region.table[granule].size);
  size_t pages = (block_end(granule) - block_pages(granule)) >> os_page_shift;
  size_t known = pages_known(density);
  if (load_relaxed(&density->frees) && known < pages) pages = known;
  return pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX;
}

size_t retain_known(const struct density *density, size_t size) {
  size_t known = (size_t)pages_known(density) << os_page_shift;
  return load_relaxed(&density->frees) && known < size ? known : size;
}

void retain_count(uint32_t granule) {
  arena_hold(granule, pages_needed(block_arena(granule), granule));
}

/* A block that is resized is being written. */
void retain_count_all(uint32_t granule) {
  size_t pages = (block_end(granule) - block_pages(granule)) >> os_page_shift;
  arena_hold(granule, pages < UINT32_MAX ? (uint32_t)pages : UINT32_MAX);
}

/* The budget: retain_size, and little more than the heap needed at the program's own peak. What
 * this block was counted for is among what is held. */
static bool take_budget(const struct arena *arena, size_t counted, size_t bytes) {
  struct usage *usage = arena->usage;
  uint64_t most = arena->options->retain_size;
  if (!usage_allows(usage, bytes - counted, bytes)) return false;
  uint64_t before = atomic_load_explicit(&usage->retained, memory_order_relaxed);
  do
    if (before + bytes > most) return false;
  while (!atomic_compare_exchange_weak_explicit(&usage->retained, &before, before + bytes,
                                                memory_order_relaxed, memory_order_relaxed));
  return true;
}

static void return_budget(const struct arena *arena, size_t bytes) {
  atomic_fetch_sub_explicit(&arena->usage->retained, bytes, memory_order_relaxed);
}

/* Keeping */

static void rewrite(void *context, uintptr_t from, uintptr_t to) {
  const struct arena *arena = context;
  fill_pattern(arena->content, (void *)from, to - from);
}

/* Pages that are written here and there, behind the prefix: a scan costs less than a reset and a
 * fault for one of them. From time to time they are dropped, so that those that are no longer
 * written go. Only where a reset brings the same content back as a rewrite does: what is kept then
 * need not be known page by page. */
static uint32_t scattered_pages(const struct arena *arena, const struct density *density) {
  uint32_t pages = load_relaxed(&density->scattered);
  bool due = load_relaxed(&density->frees) % RELEARN_EVERY == 0;
  return !due && can_scan(arena) && arena->content.word == arena->refpage->pattern.word ? pages : 0;
}

static void rewrite_scattered(struct arena *arena, const struct run *run, uintptr_t start,
                              size_t size) {
  if (os_dirty_ranges(start, size, true, rewrite, arena))
    stats_add(arena->stats, STAT_FREES_SCANNED, 1);
  else
    run_reset(run, start, size, arena->options);
}

static enum reset_extent extent_of(const struct density *density, uint16_t place, size_t pages) {
  uint32_t prefix = load_relaxed(&density->prefix), scattered = load_relaxed(&density->scattered);
  if (scattered + (place ? 0 : prefix) >= MANY) return RESET_MANY;
  return prefix + scattered <= FEW && pages <= WAITING_PAGES ? RESET_FEW : RESET_SOME;
}

static uint16_t find_place(struct arena *arena, const struct density *density, uint32_t counted,
                           uint32_t pages) {
  size_t bytes = (size_t)pages << os_page_shift;
  if (!pages || !take_budget(arena, (size_t)counted << os_page_shift, bytes)) return 0;
  uint16_t place = arena_keep(arena, pages, density->reused);
  if (!place) return_budget(arena, bytes);
  return place;
}

/* A large block may have been freed for good, if none of its size was freed before. */
static bool may_keep(const struct density *density, size_t pages) {
  return pages < LARGE || load_relaxed(&density->frees) > 1;
}

void retain(struct arena *arena, uint32_t granule) {
  uintptr_t start = block_pages(granule);
  size_t bytes = block_end(granule) - start, pages = bytes >> os_page_shift;
  struct density *density = retain_class(arena, region.table[granule].size);
  uint32_t prefix = 0, scattered = 0;
  struct run *run = block_run(granule);
  /* Pages that are kept would keep their tags. */
  bool tagged = run->refpage->tagged;
  /* A vector begins anew with a small block: one of this size may never be asked for. */
  bool outgrown = run->grown && !density->reused;
  bool learns = !outgrown && arena->options->fill == FILL_AUTO &&
                arena->options->on_free == ON_FREE_RETAIN && pages <= UINT32_MAX / 2 && !tagged;
  if (learns) {
    prefix = learn(arena, density, start, (uint32_t)pages);
    scattered = prefix < pages ? scattered_pages(arena, density) : 0;
  }
  uint32_t counted = region.table[granule].counted, wrote = prefix + scattered;
  if (learns && counted > wrote) {
    arena_hold(granule, wrote);
    usage_never_held(arena->usage, (uint64_t)(counted - wrote) << os_page_shift);
    counted = wrote;
  }
  uint16_t place = may_keep(density, pages) ? find_place(arena, density, counted, wrote) : 0;
  size_t keep = place ? (size_t)prefix << os_page_shift : 0;
  stats_add(arena->stats, place ? STAT_FREES_KEPT : STAT_FREES_RESET, 1);
  if (prefix && (place || is_looked_at(load_relaxed(&density->frees))))
    shrink(arena, density, start, prefix);
  fill_pattern(arena->content, (void *)start, keep);
  if (place && scattered)
    rewrite_scattered(arena, block_run(granule), start + keep, bytes - keep);
  else if (keep < bytes)
    return reset_and_give(granule, place, learns ? extent_of(density, place, pages) : RESET_MANY);
  arena_give(arena, granule, place);
}
