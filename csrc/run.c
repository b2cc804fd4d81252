/* Runs (see run.h). Their records lie in chunks that are never moved or given back. */
#include "run.h"

#include <errno.h>
#include <string.h>

enum { CHUNK = 256, CHUNKS = 1 << 16 };

static struct lock lock = LOCK_INITIAL; /* guards the three below */
static uint32_t unused;                 /* a list through fresh_next */
static uint32_t made = 1;               /* records handed out at some time; 0 ends lists */
static uint32_t capacity;

static struct run *_Atomic chunks[CHUNKS];

struct run *run_at(uint32_t index) {
  return &chunks[index / CHUNK][index % CHUNK];
}

static bool add_chunk(void) {
  struct run *chunk = os_map(page_up(CHUNK * sizeof *chunk));
  if (!chunk) return false;
  lock_take(&lock);
  if (capacity < CHUNKS * CHUNK) {
    chunks[capacity / CHUNK] = chunk;
    capacity += CHUNK;
    chunk = NULL;
  }
  lock_drop(&lock);
  if (chunk) os_unmap(chunk, page_up(CHUNK * sizeof *chunk)), errno = ENOMEM;
  return !chunk;
}

static uint32_t new_record(void) {
  for (;;) {
    lock_take(&lock);
    uint32_t index = unused;
    if (index)
      unused = run_at(index)->fresh_next;
    else if (made < capacity)
      index = made++;
    lock_drop(&lock);
    if (index) {
      memset(run_at(index), 0, sizeof(struct run));
      return index;
    }
    if (!add_chunk()) return 0;
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
  size_t span = refpage_span(run->refpage, run->stage), offset = address - run->start;
  if (offset < run->phase) return run->start + run->phase;
  return run->start + run->phase + ((offset - run->phase) / span + 1) * span;
}

static void count_vmas(struct run *run, uint32_t vmas) {
  vmas_used += vmas - run->vmas; /* wraps where fewer: the sum is right */
  run->vmas = vmas;
}

/* Zero pages lie in one VMA with their neighbours'. */
static uint32_t vmas_of(const struct run *run) {
  size_t span = refpage_span(run->refpage, run->stage);
  if (run->refpage->kind == REFPAGE_ZERO) return 1;
  return (uint32_t)((run->end - run->start + span - 1) / span) + 1;
}

static bool map_spans(struct run *run, uintptr_t from, uintptr_t to) {
  for (uintptr_t at = from; at < to;) {
    uintptr_t end = run_span_end(run, at);
    if (end > to) end = to;
    if (!refpage_map(run->refpage, run->stage, at, end - at)) return false;
    at = end;
  }
  return true;
}

static uint32_t map_new(uint32_t index) {
  struct run *run = run_at(index);
  if (map_spans(run, run->start, run->end)) {
    count_vmas(run, vmas_of(run));
    run->refpage->mapped += run_bytes(run);
    return index;
  }
  int error = errno;
  if (os_release(run->start, run->end - run->start)) region_give(run->first, run->granules);
  drop_record(index);
  errno = error;
  return 0;
}

static uint32_t new_run(struct arena *arena, struct refpage *refpage, unsigned stage,
                        const struct solo *solo) {
  uint32_t index = new_record();
  if (!index) return 0;
  struct run *run = run_at(index);
  run->first = region_take(solo->granules, solo->lead, solo->alignment);
  if (!run->first) return drop_record(index), 0;
  run->arena = arena;
  run->refpage = refpage;
  run->stage = (uint8_t)stage;
  run->granules = solo->granules;
  run->start = granule_address(run->first) + solo->offset;
  run->end = run->start + solo->size;
  return index;
}

uint32_t run_new_shared(struct arena *arena, struct refpage *refpage, unsigned stage,
                        uint32_t slot) {
  size_t span = refpage_span(refpage, stage);
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
  size_t span = refpage_span(refpage, solo->stage), rest = solo->size % span;
  run->phase = solo->phase ? solo->phase : rest ? rest : span;
  run->slots = run->used = 1;
  return map_new(index);
}

/* The short first span shrinks or grows with the front. */
static void move_start(struct run *run, uintptr_t start) {
  size_t span = refpage_span(run->refpage, run->stage);
  uintptr_t boundary = run->start + run->phase;
  run->start = start;
  if (boundary > start) {
    run->phase = (boundary - start - 1) % span + 1;
  } else {
    size_t over = (start - boundary) % span;
    run->phase = span - over;
  }
}

/* Parts that are no longer wanted are unmapped first: that cannot leave a half-mapped block. */
bool run_remap(struct run *run, uintptr_t start, uintptr_t end) {
  struct run before = {.start = run->start, .end = run->end, .phase = run->phase};
  if (start > before.start && !os_release(before.start, start - before.start)) return false;
  if (start > before.start) move_start(run, start);
  if (end < before.end) {
    if (!os_release(end, before.end - end)) return false;
    run->end = end;
  }
  if (end > before.end) {
    if (!map_spans(run, before.end, end)) return os_release(before.end, end - before.end), false;
    run->end = end;
  }
  if (start < before.start) {
    move_start(run, start);
    if (!map_spans(run, start, before.start + before.phase)) return false;
  }
  count_vmas(run, vmas_of(run));
  return true;
}

void run_resize(struct run *run, uint32_t first, uint32_t granules) {
  run->refpage->mapped -= run_bytes(run);
  run->first = first;
  run->granules = granules;
  run->refpage->mapped += run_bytes(run);
}

void run_move(struct run *source, uintptr_t from, uintptr_t to, size_t size, bool move) {
  for (uintptr_t at = from; at < from + size;) {
    uintptr_t end = run_span_end(source, at);
    if (end > from + size) end = from + size;
    uintptr_t target = to + (at - from);
    if (!move || !os_move_pages(at, target, end - at))
      memcpy((void *)target, (void *)at, end - at);
    at = end;
  }
}

void run_release(uint32_t index) {
  struct run *run = run_at(index);
  run->refpage->mapped -= run_bytes(run);
  count_vmas(run, 0);
  /* Where the kernel refuses (a limit of VMAs), the range stays mapped, and lost to us. */
  if (os_release(run->start, run->end - run->start)) region_give(run->first, run->granules);
  drop_record(index);
}

void run_lock(void) {
  lock_take(&lock);
}

void run_unlock(void) {
  lock_drop(&lock);
}
