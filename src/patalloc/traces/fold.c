/* Adding up traces (see fold.h). */
#include "fold.h"

#include "table.h"

/* By slot. */
struct block {
  uint64_t size, time, pages; /* pages: written */
  uint32_t stack;
  uint32_t turn, thread; /* of its thread: how many allocations it had made; and that */
  uint32_t told;         /* up to which page what was written is told */
  bool live, seen;
};

struct fold {
  struct fold_site *sites;
  struct fold_size sizes[FOLD_SIZES];
  struct fold_life lives[FOLD_LIVES];
  struct fold_time *times;
  struct block *blocks;
  size_t blocks_used;
  struct list turns; /* by thread */
  uint64_t events, moment, last, live_blocks, live_bytes;
  uint32_t stacks, times_used;
  unsigned page_shift;
  uint64_t *moments, *then; /* others, and what is live at them, by stack */
  uint32_t moments_used, moments_past;
};

static unsigned log_of(uint64_t value) {
  return value ? 63 - (unsigned)__builtin_clzll(value) : 0;
}

static unsigned class_of(uint64_t size) {
  if (size < 8) return (unsigned)size;
  unsigned log = log_of(size);
  return 8 + (log - 3) * 4 + (unsigned)(size >> (log - 2) & 3);
}

static uint64_t class_from(unsigned number) {
  if (number < 8) return number;
  unsigned log = (number - 8) / 4 + 3;
  return log > 62 ? UINT64_MAX : (uint64_t)1 << log | (uint64_t)((number - 8) % 4) << (log - 2);
}

struct fold *fold_new(uint32_t stacks, uint64_t last, uint32_t times, unsigned page_shift) {
  struct fold *fold = calloc(1, sizeof *fold);
  if (!fold) return NULL;
  fold->sites = calloc((size_t)stacks + 1, sizeof *fold->sites);
  fold->times = calloc((size_t)times + 1, sizeof *fold->times);
  if (!fold->sites || !fold->times) return fold_free(fold), NULL;
  for (unsigned i = 0; i < FOLD_SIZES; i++) fold->sizes[i].from = class_from(i);
  fold->stacks = stacks;
  fold->last = last;
  fold->times_used = times;
  fold->page_shift = page_shift;
  return fold;
}

void fold_free(struct fold *fold) {
  free(fold->sites);
  free(fold->times);
  free(fold->blocks);
  free(fold->turns.data);
  free(fold->moments);
  free(fold->then);
  free(fold);
}

bool fold_at(struct fold *fold, uint64_t moment, const uint64_t *moments, uint32_t count) {
  fold->moment = moment;
  fold->moments = malloc(count * sizeof *moments + 1);
  fold->then = calloc((size_t)count * fold->stacks + 1, sizeof *fold->then);
  if (!fold->moments || !fold->then) return false;
  if (count) memcpy(fold->moments, moments, count * sizeof *moments);
  fold->moments_used = count;
  return true;
}

static struct block *block_at(struct fold *fold, uint32_t slot) {
  if (slot >= fold->blocks_used) {
    size_t used = ((size_t)slot + 1024) * 3 / 2;
    struct block *blocks = realloc(fold->blocks, used * sizeof *blocks);
    if (!blocks) return NULL;
    memset(blocks + fold->blocks_used, 0, (used - fold->blocks_used) * sizeof *blocks);
    fold->blocks = blocks;
    fold->blocks_used = used;
  }
  return &fold->blocks[slot];
}

static struct fold_site *site_of(struct fold *fold, uint32_t stack) {
  return &fold->sites[stack < fold->stacks ? stack : 0];
}

static struct fold_time *time_at(struct fold *fold, uint64_t time) {
  uint64_t place =
      fold->last ? (uint64_t)((double)time / (double)fold->last * fold->times_used) : 0;
  return &fold->times[place < fold->times_used ? place : fold->times_used - !!fold->times_used];
}

static void note_live(struct fold *fold, struct fold_time *time) {
  if (time->bytes < fold->live_bytes) time->bytes = fold->live_bytes;
  if (time->blocks < fold->live_blocks) time->blocks = fold->live_blocks;
}

static void note_left(struct fold *fold, struct fold_time *time) {
  time->left_bytes = fold->live_bytes;
  time->left_blocks = fold->live_blocks;
}

/* A block's pages count when no more of them can be written. */
static void count_pages(struct fold *fold, const struct block *block) {
  if (!block->seen) return;
  uint64_t pages = (block->size + ((uint64_t)1 << fold->page_shift) - 1) >> fold->page_shift;
  uint64_t written = block->pages < pages ? block->pages : pages;
  struct fold_site *site = site_of(fold, block->stack);
  struct fold_size *size = &fold->sizes[class_of(block->size)];
  site->seen_pages += pages;
  site->written_pages += written;
  size->seen_pages += pages;
  size->written_pages += written;
}

static bool add_block(struct fold *fold, const struct trace_event *event) {
  struct block *block = block_at(fold, event->slot);
  if (!block || !list_reach(&fold->turns, event->thread)) return false;
  bool resized = event->kind == TRACE_RESIZE && block->live;
  if (resized) {
    fold->live_bytes -= block->size;
    fold->live_blocks--;
  }
  uint64_t begun = resized ? block->time : event->time;
  *block = (struct block){.size = event->size,
                          .time = begun,
                          .stack = event->stack,
                          .turn = ++fold->turns.data[event->thread],
                          .thread = event->thread,
                          .live = true};
  fold->live_bytes += event->size;
  fold->live_blocks++;
  struct fold_site *site = site_of(fold, event->stack);
  struct fold_size *size = &fold->sizes[class_of(event->size)];
  struct fold_time *time = time_at(fold, event->time);
  site->allocations++;
  site->bytes += event->size;
  if (site->largest < event->size) site->largest = event->size;
  size->allocations++;
  size->bytes += event->size;
  time->allocations++;
  time->requested += event->size;
  note_live(fold, time);
  note_left(fold, time);
  return true;
}

static bool drop_block(struct fold *fold, const struct trace_event *event) {
  struct block *block = block_at(fold, event->slot);
  if (!block || !list_reach(&fold->turns, event->thread)) return false;
  if (!block->live) return true;
  count_pages(fold, block);
  bool temporary = block->thread == event->thread && block->turn == fold->turns.data[event->thread];
  uint64_t lifetime = event->time - block->time;
  struct fold_site *site = site_of(fold, block->stack);
  struct fold_size *size = &fold->sizes[class_of(block->size)];
  unsigned age = lifetime ? 1 + log_of(lifetime) : 0;
  struct fold_life *life = &fold->lives[age < FOLD_LIVES ? age : FOLD_LIVES - 1];
  site->freed++;
  site->lifetime += lifetime;
  site->temporary += temporary;
  size->freed++;
  size->lifetime += lifetime;
  size->temporary += temporary;
  life->blocks++;
  life->bytes += block->size;
  struct fold_time *time = time_at(fold, event->time);
  note_live(fold, time); /* until now */
  time->freed++;
  fold->live_bytes -= block->size;
  fold->live_blocks--;
  note_left(fold, time);
  block->live = false;
  return true;
}

static bool note_written(struct fold *fold, const struct trace_event *event) {
  struct block *block = block_at(fold, event->slot);
  if (!block) return false;
  if (event->first < block->told) block->pages = 0; /* it is told once more, from the first on */
  block->seen = true;
  block->pages += event->size;
  block->told = event->first + (uint32_t)event->size;
  return true;
}

static void add_live(struct fold *fold, bool then) {
  for (size_t i = 0; i < fold->blocks_used; i++) {
    const struct block *block = &fold->blocks[i];
    if (!block->live) continue;
    struct fold_site *site = site_of(fold, block->stack);
    *(then ? &site->then_blocks : &site->left_blocks) += 1;
    *(then ? &site->then_bytes : &site->left_bytes) += block->size;
  }
}

static void add_moment(struct fold *fold) {
  uint64_t *then = fold->then + (size_t)fold->moments_past++ * fold->stacks;
  for (size_t i = 0; i < fold->blocks_used; i++)
    if (fold->blocks[i].live)
      then[fold->blocks[i].stack < fold->stacks ? fold->blocks[i].stack : 0] +=
          fold->blocks[i].size;
}

static bool add(void *context, const struct trace_event *event) {
  struct fold *fold = context;
  bool good = true;
  while (fold->moments_past < fold->moments_used && fold->moments[fold->moments_past] < event->time)
    add_moment(fold);
  switch ((enum trace_kind)event->kind) {
  case TRACE_MALLOC:
  case TRACE_CALLOC:
  case TRACE_ALIGNED:
  case TRACE_RESIZE:
    good = add_block(fold, event);
    break;
  case TRACE_FREE:
  case TRACE_MISSED:
    good = drop_block(fold, event);
    break;
  case TRACE_WRITTEN:
    good = note_written(fold, event);
    break;
  case TRACE_STRANGE:
    break;
  }
  if (++fold->events == fold->moment) add_live(fold, true);
  return good;
}

bool fold_chunk(struct fold *fold, struct trace_reader *reader) {
  return trace_reader_each(reader, add, fold);
}

/* Stretches in which nothing happened have what was there before. */
static void fill_gaps(struct fold *fold) {
  struct fold_time before = {0};
  for (uint32_t i = 0; i < fold->times_used; i++) {
    struct fold_time *time = &fold->times[i];
    if (!time->allocations && !time->freed) {
      time->blocks = time->left_blocks = before.left_blocks;
      time->bytes = time->left_bytes = before.left_bytes;
    }
    before = *time;
  }
}

void fold_end(struct fold *fold) {
  for (size_t i = 0; i < fold->blocks_used; i++)
    if (fold->blocks[i].live) count_pages(fold, &fold->blocks[i]);
  add_live(fold, false);
  while (fold->moments_past < fold->moments_used) add_moment(fold);
  fill_gaps(fold);
}

const struct fold_site *fold_sites(const struct fold *fold) {
  return fold->sites;
}
const struct fold_size *fold_sizes(const struct fold *fold) {
  return fold->sizes;
}
const struct fold_life *fold_lives(const struct fold *fold) {
  return fold->lives;
}
const struct fold_time *fold_times(const struct fold *fold) {
  return fold->times;
}
const uint64_t *fold_moments(const struct fold *fold) {
  return fold->then;
}
