/* Runs (see run.h). Their records lie in a table that grows. */
#include "pages/run.h"

#include "os/features.h"
#include "os/guards.h"
#include "os/memory.h"
#include "pages/fill.h"

#include <errno.h>
#include <string.h>

struct run *run_table;

static struct lock lock;          /* guards all below */
static uint32_t unused;           /* a list through fresh_next */
static _Atomic uint32_t made = 1; /* records handed out at some time; 0 ends lists */
static struct table records;      /* at run_table */

bool run_init(void) {
  enum { MOST = 1 << 24, STEP = 1 << 9 };
  static struct lock once;
  size_t most = region_size() >> region.shift; /* a run has one at least */
  if (most > MOST) most = MOST;
  lock_take(&once);
  if (!run_table && region_place_table(TABLE_RUNS, &records, sizeof *run_table, most, STEP))
    run_table = (struct run *)records.start;
  lock_drop(&once);
  return run_table;
}

static uint32_t new_record(void) {
  for (;;) {
    lock_take(&lock);
    uint32_t index = unused, next = made;
    if (index)
      unused = run_at(index)->fresh_next;
    else if (table_has(&records, next))
      index = made++;
    lock_drop(&lock);
    if (index) {
      struct run *run = run_at(index); /* which has no arena, and others may see that */
      memset((char *)run + sizeof run->arena, 0, sizeof *run - sizeof run->arena);
      return index;
    }
    if (!table_reach(&records, next)) return 0;
  }
}

static void drop_record(uint32_t index) {
  lock_take(&lock);
  run_at(index)->fresh_next = unused;
  unused = index;
  lock_drop(&lock);
}

/* Mapping */

uintptr_t run_span_end(const struct run *run, uintptr_t address) {
  size_t span = refpage_span(run->stage), offset = address - run->start;
  if (offset < run->phase) return run->start + run->phase;
  return run->start + run->phase + ((offset - run->phase) / span + 1) * span;
}

static void set_vmas(struct run *run, uint32_t vmas) {
  vmas_used += (size_t)vmas - atomic_exchange(&run->vmas, vmas);
}

/* A protected guard splits one in three. */
void run_count_vmas(struct run *run) {
  size_t span = refpage_span(run->stage), bytes = run->end - run->start, spans = 1;
  if (refpage_has_spans(run->refpage) && bytes > run->phase)
    spans += (bytes - run->phase + span - 1) / span;
  if (run->guards & GUARD_PROTECTED) spans += 2 * run->used;
  set_vmas(run, (uint32_t)spans);
}

static bool map_spans(const struct run *run, uintptr_t from, uintptr_t to) {
  if (!refpage_has_spans(run->refpage))
    return refpage_map(run->refpage, run->stage, from, to - from, 0);
  size_t span = refpage_span(run->stage);
  for (uintptr_t at = from; at < to;) {
    uintptr_t span_end = run_span_end(run, at), end = span_end < to ? span_end : to;
    size_t left = span_end - at, offset = run->lean && left < span ? span - left : 0;
    if (!refpage_map(run->refpage, run->stage, at, end - at, offset)) return false;
    at = end;
  }
  return true;
}

/* Giving up */

/* The one of the granules in which a block starts, if there is one. */
static void forget_block(uint32_t first, uint32_t count) {
  for (uint32_t granule = first; granule < first + count; granule++) {
    _Atomic uint32_t *state = &region.table[granule].state;
    if (atomic_load_explicit(state, memory_order_relaxed) == GRANULE_NONE) continue;
    atomic_store_explicit(state, GRANULE_NONE, memory_order_relaxed);
    return;
  }
}

/* That of a solo run starts where its pages do, or not far behind. */
static void forget_blocks(const struct run *run) {
  enum { FRONT = RUN_FRONT_MOST / GRANULE_PAGES + 1 };
  if (run_is_solo(run)) {
    uint32_t from = granule_of(run->start), most = run->first + run->granules - from;
    return forget_block(from, most < FRONT ? most : FRONT);
  }
  for (uint32_t slot = 0; slot < run->used; slot++)
    forget_block(run->first + slot * run->slot, run->slot);
}

/* The way of address space back to the region, for all of a run and for parts. The blocks there
 * have been forgotten: once the region has it, another thread's may begin there. Where the kernel
 * refuses to unmap, it stays mapped, and lost to us; munmap(2) is not refused for the number of
 * VMAs unless it splits one. */
static void give_back(const struct run *run, uint32_t first, uint32_t granules) {
  uintptr_t from = granule_address(first), to = granule_address(first + granules);
  if (from < run->start) from = run->start;
  if (to > run->end) to = run->end;
  if (from >= to || region_drop(from, to)) region_give(first, granules);
}

void run_release(uint32_t index) {
  struct run *run = run_at(index);
  forget_blocks(run);
  run->arena = NULL;
  run->refpage->mapped -= run_bytes(run);
  set_vmas(run, 0);
  give_back(run, run->first, run->granules);
  drop_record(index);
}

RARE void run_release_all(const struct arena *arena) {
  for (uint32_t index = 1; index < made; index++)
    if (run_at(index)->arena == arena) run_release(index);
}

/* Making */

/* So that a run's neighbours can be found, as tags must differ. */
static void mark_ends(const struct run *run) {
  uint32_t index = (uint32_t)(run - run_table);
  if (!run->refpage->tagged) return;
  region.table[run->first].run = index;
  region.table[run->first + run->granules - 1].run = index;
}

const struct run *run_with_end(uint32_t granule) {
  uint32_t index = granule ? region.table[granule].run : 0;
  if (!index || index >= made) return NULL;
  const struct run *run = run_at(index);
  return run->arena && granule - run->first < run->granules ? run : NULL;
}

static uint32_t map_new(uint32_t index) {
  struct run *run = run_at(index);
  run->refpage->mapped += run_bytes(run);
  if (map_spans(run, run->start, run->end)) {
    run_count_vmas(run);
    return index;
  }
  int error = errno;
  run_release(index);
  errno = error;
  return 0;
}

/* What lies there may be large: each time twice as much behind it is given up, 64 GiB at most. */
RARE static void lose_more(uint32_t first, uint32_t granules, int times) {
  enum { MOST = 1 << 20, TIMES_MOST = 20 };
  uint64_t more = (uint64_t)granules << (times < TIMES_MOST ? times : TIMES_MOST);
  if (region_take_at(first, more < MOST ? (uint32_t)more : MOST)) region_lose(first);
}

/* Address space that is nobody's. Where somebody's mapping is found there, another one is tried. */
static bool take_address_space(struct run *run, const struct solo *solo) {
  enum { TRIES = 64 };
  for (int i = 0; i < TRIES; i++) {
    uint32_t taken =
        region_take(solo->gap + solo->granules, solo->gap + solo->lead, solo->alignment);
    if (!taken) return false;
    if (solo->gap) region_give(taken, solo->gap); /* was never mapped */
    run->first = taken + solo->gap;
    run->start = granule_address(run->first) + solo->offset;
    run->end = run->start + solo->size;
    if (region_hold(run->start, run->end)) return true;
    if (errno != EEXIST) return region_give(run->first, run->granules), errno = ENOMEM, false;
    region_lose(run->first);
    lose_more(run->first + run->granules, run->granules, i);
  }
  return errno = ENOMEM, false;
}

static uint32_t new_run(struct arena *arena, struct refpage *refpage, unsigned stage,
                        const struct solo *solo) {
  uint32_t index = new_record();
  if (!index) return 0;
  struct run *run = run_at(index);
  run->refpage = refpage;
  run->stage = (uint8_t)stage;
  run->granules = solo->granules;
  run->lean = !region.reserved && (region_limit != SIZE_MAX || os_locking());
  if (!take_address_space(run, solo)) return drop_record(index), 0;
  run->arena = arena;
  mark_ends(run);
  return index;
}

uint32_t run_new_shared(struct arena *arena, struct refpage *refpage, unsigned stage,
                        uint32_t slot) {
  size_t span = refpage_span(stage);
  struct solo whole = {.granules = (uint32_t)(span >> region.shift), .size = span};
  uint32_t index = new_run(arena, refpage, stage, &whole);
  if (!index) return 0;
  struct run *run = run_at(index);
  run->phase = span;
  run->slot = slot;
  run->slots = run->granules / slot;
  return map_new(index);
}

/* The first span is the short one, so that the last ends where another can follow. */
uint32_t run_new_solo(struct arena *arena, struct refpage *refpage, const struct solo *solo) {
  uint32_t index = new_run(arena, refpage, solo->stage, solo);
  if (!index) return 0;
  struct run *run = run_at(index);
  size_t span = refpage_span(solo->stage), rest = solo->size % span;
  run->phase = solo->phase ? solo->phase : rest ? rest : span;
  run->slots = 1;
  run->used = 1;
  return map_new(index);
}

bool run_is_outgrown(struct run *run, bool mapped) {
  size_t spans = run->vmas;
  return run_is_solo(run) && refpage_outgrows(run->refpage, run->stage, spans,
                                              mapped ? spans * WALKS_A_MAPPING : spans);
}

/* The short first span shrinks or grows with the front. */
static void move_start(struct run *run, uintptr_t start) {
  size_t span = refpage_span(run->stage);
  uintptr_t boundary = run->start + run->phase;
  run->start = start;
  if (boundary > start) {
    run->phase = (boundary - start - 1) % span + 1;
  } else {
    size_t over = (start - boundary) % span;
    run->phase = span - over;
  }
}

/* Maps more at the front, or unmaps there. */
static bool map_front(struct run *run, uintptr_t start) {
  uintptr_t before = run->start, boundary = before + run->phase;
  if (boundary > run->end) boundary = run->end; /* a lean run may be shorter than its first span */
  if (start > before && !region_drop(before, start)) return false;
  if (start < before && !region_hold(start, before)) return false;
  if (start != before) move_start(run, start);
  return start >= before || map_spans(run, start, boundary);
}

static void set_granules(struct run *run, uint32_t first, uint32_t granules) {
  run->refpage->mapped -= run_bytes(run);
  run->first = first;
  run->granules = granules;
  run->refpage->mapped += run_bytes(run);
  mark_ends(run);
}

bool run_fit(struct run *run, uintptr_t start, size_t guard) {
  uint32_t first = granule_of(start - guard), last = granule_of(run->end + guard - 1) + 1;
  uint32_t before = run->first, end = before + run->granules;
  forget_blocks(run);
  if (start == run->start && first == before && last == end) return true;
  if (!map_front(run, start)) return false;
  run_count_vmas(run);
  set_granules(run, first, last - first);
  if (first > before) give_back(run, before, first - before);
  if (end > last) give_back(run, last, end - last);
  return true;
}

static bool take_room(struct run *run, uintptr_t end) {
  uint32_t behind = run->first + run->granules;
  uintptr_t room = granule_address(behind);
  if (end <= room) return true;
  size_t more = (end - room + ((size_t)1 << region.shift) - 1) >> region.shift;
  if (more > UINT32_MAX || !region_take_at(behind, (uint32_t)more)) return false;
  set_granules(run, run->first, run->granules + (uint32_t)more);
  return true;
}

/* Where address space has a limit no more than is asked for, so that the last span may be short. */
RARE bool run_lengthen(struct run *run, uintptr_t end, size_t guard) {
  size_t span = refpage_span(run->stage);
  uintptr_t before = run->end, mapped = before + (end - before + span - 1) / span * span;
  if (run->lean) mapped = end;
  if (!take_room(run, mapped + guard)) return false;
  if (!region_hold(before, mapped)) return false;
  if (!map_spans(run, before, mapped)) return region_drop(before, mapped), false;
  run->end = mapped;
  run_count_vmas(run);
  return true;
}

void run_shorten(struct run *run, uintptr_t end) {
  uintptr_t boundary = run_span_end(run, end - 1);
  if (boundary >= run->end || !region_drop(boundary, run->end)) return;
  run->end = boundary;
  run_count_vmas(run);
}

bool run_map_again(const struct run *run, uintptr_t from, uintptr_t to) {
  return map_spans(run, from, to);
}

bool run_change_refpage(struct run *run, struct refpage *refpage) {
  run->refpage->mapped -= run_bytes(run);
  run->refpage = refpage;
  run->refpage->mapped += run_bytes(run);
  return map_spans(run, run->start, run->end);
}

bool run_overlay(struct run *run, uintptr_t start, uintptr_t end, struct refpage *refpage) {
  size_t span = refpage_has_spans(refpage) ? refpage_span(run->stage) : end - start;
  uint32_t pieces = (uint32_t)((end - start + span - 1) / span);
  if (vmas_used + pieces + 2 > vmas_allowed()) return false;
  for (uintptr_t at = start; at < end; at += span) {
    size_t size = end - at < span ? end - at : span;
    if (!refpage_map(refpage, run->stage, at, size, 0)) return map_spans(run, start, end), false;
  }
  set_vmas(run, run->vmas + pieces + 2);
  return true;
}

/* Pages that hold the pattern are left alone, so that a sparse block stays sparse. */
RARE static void copy_pages(uintptr_t from, uintptr_t to, size_t size) {
  for (size_t at = 0; at < size; at += os_page)
    if (memcmp((void *)(to + at), (void *)(from + at), os_page))
      memcpy((void *)(to + at), (void *)(from + at), os_page);
}

RARE static bool holds_pattern(const struct refpage *refpage, uintptr_t page) {
  const uint64_t *words = (const uint64_t *)page;
  size_t count = os_page / sizeof *words, same = 0;
  while (same < count && words[same] == refpage->pattern.word) same++;
  return same == count;
}

/* A piece that the program has made several VMAs of, by mprotect(2) or mlock(2), may have been
 * moved in part when mremap(2) failed (Linux 6.17). A page that was leaves the pattern behind. */
RARE static void fetch_back(const struct run *source, uintptr_t from, uintptr_t to, size_t size) {
  for (size_t at = 0; at < size; at += os_page)
    if (holds_pattern(source->refpage, from + at) && os_is_readable(to + at) &&
        !holds_pattern(source->refpage, to + at) && os_protect(from + at, os_page, true))
      memcpy((void *)(from + at), (void *)(to + at), os_page);
}

/* A failed mremap(2) may have unmapped its target, which is mapped again before the copy. What was
 * moved before that failed too is copied back: that needs no help of the kernel's. */
RARE bool run_move(const struct run *source, uintptr_t from, struct run *target, size_t size,
                   bool *moved) {
  uintptr_t to = target->start;
  bool all = *moved;
  for (size_t done = 0; done < size;) {
    size_t piece = run_span_end(source, from + done) - (from + done);
    if (!all) piece = run_span_end(target, to + done) - (to + done);
    if (piece > size - done) piece = size - done;
    if (all && !os_move_pages(from + done, to + done, piece)) {
      fetch_back(source, from + done, to + done, piece);
      if (!map_spans(target, to + done, to + done + piece)) {
        copy_pages(to, from, done);
        return false;
      }
      all = false;
    }
    if (!all) copy_pages(from + done, to + done, piece);
    done += piece;
  }
  *moved = all;
  return true;
}

/* As a reset would leave them. */
static void rewrite_pages(const struct refpage *refpage, uintptr_t start, size_t size) {
  fill_pattern(refpage->pattern, (void *)start, size);
  if (refpage->tagged) mte_tag(start, start + size, refpage->tag);
}

/* Pages that are to be locked are to be there, too. */
void run_reset(const struct run *run, uintptr_t start, size_t size, const struct options *options) {
  if (os_locking() == OS_LOCKS_ALL) return rewrite_pages(run->refpage, start, size);
  if (os_reset(start, size)) return;
  if (!os_uses(options, OS_DONTNEED_LOCKED) || !os_reset_locked(start, size))
    rewrite_pages(run->refpage, start, size);
}

bool run_unmap(struct run *run) {
  if (!region_drop(run->start, run->end)) return false;
  run->end = run->start; /* another may come to lie there: it is not to be unmapped */
  set_vmas(run, 0);
  return true;
}

void run_lock(void) {
  lock_take(&records.lock);
  lock_take(&lock);
}

void run_unlock(void) {
  lock_drop(&lock);
  lock_drop(&records.lock);
}
