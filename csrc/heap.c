/* Heaps: start, end, fork, and what can be learnt of one (see heap.h and patalloc.h). */
#include "heap.h"

#include "careful.h"
#include "destination.h"
#include "fault.h"
#include "patalloc.h"
#include "report.h"
#include "reset.h"
#include "tag.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

/* All heaps, for fork */

static struct lock heaps_lock; /* guards the list */
static struct patalloc_heap *heaps;

_Atomic bool heap_handles_fork;
_Thread_local bool lock_forking;

/* Of those that are ready the one after `arena`, or the first. */
static struct arena *next_arena(const struct patalloc_heap *heap, const struct arena *arena) {
  for (int i = 0; heap->shards && i < SHARDS * ARENAS; i++) {
    struct arena *next = &heap->shards[i / ARENAS].arenas[i % ARENAS];
    if (next > arena && next->ready) return next;
  }
  return NULL;
}
#define EACH_ARENA(heap, arena)                                                                    \
  for (struct arena *arena = next_arena(heap, NULL); arena; arena = next_arena(heap, arena))

/* Locks are taken in this order, and only here more than one at a time. */
static void before_fork(void) {
  lock_take(&heaps_lock);
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next) {
    lock_take(&heap->lock);
    EACH_ARENA(heap, arena) lock_take(&arena->lock);
    lock_take(&heap->quarantine.lock);
  }
  fault_lock();
  refpage_lock_all();
  run_lock();
  region_lock();
  lock_forking = true;
}

static void after_fork(void) {
  lock_forking = false;
  region_unlock();
  run_unlock();
  refpage_unlock_all();
  fault_unlock();
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next) {
    lock_drop(&heap->quarantine.lock);
    EACH_ARENA(heap, arena) lock_drop(&arena->lock);
    lock_drop(&heap->lock);
  }
  lock_drop(&heaps_lock);
}

static void after_fork_in_child(void) {
  after_fork();
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next) {
    if (heap->refpage && !refpage_outlives_fork(heap->refpage)) heap->refpage = NULL;
    usage_restart(&heap->usage);
    stats_restart(&heap->stats);
    for (int i = 0; heap->shards && i < SHARDS; i++) stats_restart(&heap->shards[i].stats);
  }
  reset_restart();
  fault_restart();
  report_restart();
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next)
    EACH_ARENA(heap, arena) reset_settle(arena);
}

void heap_handle_fork(void) {
  if (!atomic_exchange(&heap_handles_fork, true))
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

static void enlist(struct patalloc_heap *heap) {
  lock_take(&heaps_lock);
  if (!heap->listed) {
    heap->listed = true;
    heap->next = heaps;
    heaps = heap;
  }
  lock_drop(&heaps_lock);
  const struct options *options = &heap->options;
  if (*options->stats || heap->reports || options->backend == BACKEND_UFFD) heap_handle_fork();
}

static void delist(struct patalloc_heap *heap) {
  lock_take(&heaps_lock);
  struct patalloc_heap **link = &heaps;
  while (*link && *link != heap) link = &(*link)->next;
  if (*link) *link = heap->next;
  lock_drop(&heaps_lock);
}

/* Start and end */

static struct shard *shard_of_thread(struct patalloc_heap *heap) {
  static _Atomic unsigned threads;
  static _Thread_local unsigned mine __attribute__((tls_model("initial-exec"))); /* from 1 */
  if (!mine) mine = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % SHARDS;
  return &heap->shards[mine - 1];
}

struct stats *heap_stats(struct patalloc_heap *heap) {
  return heap->ready ? &shard_of_thread(heap)->stats : &heap->stats;
}

static void prepare_arena(struct patalloc_heap *heap, struct shard *shard, enum arena_kind kind) {
  struct arena *arena = &shard->arenas[kind];
  struct pattern zero = refpage_zero.pattern, pattern = heap->options.pattern;
  struct refpage *stored = heap->tagged ? &refpage_zero_tagged : &refpage_zero;
  arena->refpage = kind == PATTERNED ? heap->refpage : kind == ZEROED ? heap->zeros : stored;
  /* With pattern=none kept pages must be rewritten all the same: with zeros. */
  arena->content = kind == ZEROED || !pattern.size ? zero : pattern;
  arena->huge_page = kind == STORED ? heap->huge_page : 0;
  arena->options = &heap->options;
  arena->stats = &shard->stats;
  arena->usage = &heap->usage;
  arena->densities = kind == ZEROED ? shard->zeroed_densities : shard->patterned_densities;
  arena->ready = true;
}

/* Not before it is used: an arena has some pages of tables. */
struct arena *heap_arena(struct patalloc_heap *heap, enum arena_kind kind) {
  struct shard *shard = shard_of_thread(heap);
  struct arena *arena = &shard->arenas[kind];
  if (arena->ready) return arena;
  lock_take(&heap->lock);
  if (!arena->ready) prepare_arena(heap, shard, kind);
  lock_drop(&heap->lock);
  return arena;
}

static size_t shards_size(void) {
  return page_up(SHARDS * sizeof(struct shard));
}

static void choose_refpages(struct patalloc_heap *heap) {
  const struct options *options = &heap->options;
  bool patterned = options->fill != FILL_MEMSET || !options->pattern.size;
  heap->tagged = options->tag != TAG_OFF && options_use(options, OS_MTE);
  if (!heap->tagged) {
    if (patterned) heap->refpage = refpage_get(options, options->pattern);
    if (patterned && !heap->refpage && options->backend == BACKEND_UFFD)
      report_line("backend=uffd: this process may not use userfaultfd(2); blocks are memset");
    heap->zeros = &refpage_zero;
    return;
  }
  if (patterned) heap->refpage = refpage_get_tagged(options, options->pattern);
  heap->zeros = refpage_get_tagged(options, refpage_zero.pattern);
  if (!heap->zeros) heap->zeros = &refpage_zero_tagged;
}

static void prepare(struct patalloc_heap *heap) {
  const struct options *options = &heap->options;
  bool huge = options->fill == FILL_AUTO && options_use(options, OS_HUGE_PAGES);
  if (huge) heap->huge_page = os_huge_page();
  choose_refpages(heap);
  if (heap->hunts && heap->refpage) heap->other = refpage_get(options, hunt_pattern(options));
  if (heap->tagged || heap->reports) fault_watch(heap->tagged);
  bool able = region_init(options->reserve) && run_init();
  if (able) heap->shards = os_map(shards_size());
  heap->hopeless = !heap->shards;
  heap->ready = heap->shards;
}

void heap_heed_options(struct patalloc_heap *heap) {
  heap->reports = options_report(&heap->options);
  if (heap->reports) report_start(&heap->options);
  heap->hunts = hunt_is_asked_for(&heap->options);
  if (heap->hunts) hunt_start(&heap->options);
  heap->careful = careful_is_due(&heap->options);
}

/* Enlisted before its lock is taken: fork takes the list's lock first. */
bool heap_prepare(struct patalloc_heap *heap) {
  if (heap->ready || heap->hopeless) return heap->ready;
  enlist(heap);
  lock_take(&heap->lock);
  if (!heap->ready && !heap->hopeless) prepare(heap);
  lock_drop(&heap->lock);
  return heap->ready;
}

patalloc_heap *patalloc_heap_create(const char *options, char *complaint, size_t capacity) {
  char scrap[1];
  struct text text = {complaint ? complaint : scrap, complaint ? capacity : 1, 0};
  os_init();
  patalloc_heap *heap = os_map(page_up(sizeof *heap));
  if (!heap) return NULL;
  options_default(&heap->options);
  if (!options_parse(&heap->options, options ? options : "", &text)) {
    os_unmap(heap, page_up(sizeof *heap));
    return errno = EINVAL, NULL;
  }
  heap_heed_options(heap);
  heap_handle_fork();
  return heap;
}

int patalloc_configure(patalloc_heap *heap, const char *options, char *complaint, size_t capacity) {
  char scrap[1];
  struct text text = {complaint ? complaint : scrap, complaint ? capacity : 1, 0};
  lock_take(&heap->lock);
  bool good = options_change(&heap->options, options, &text);
  if (good) heap_heed_options(heap);
  lock_drop(&heap->lock);
  return good ? 0 : (errno = EINVAL, -1);
}

void patalloc_heap_destroy(patalloc_heap *heap) {
  heap_write_stats(heap);
  delist(heap);
  EACH_ARENA(heap, arena) run_release_all(arena);
  if (heap->shards) os_unmap(heap->shards, shards_size());
  os_unmap(heap, page_up(sizeof *heap));
}

size_t patalloc_release(patalloc_heap *heap) {
  size_t bytes = 0;
  EACH_ARENA(heap, arena) {
    reset_settle(arena);
    arena_drop_kept(arena, 0);
    bytes += arena_release(arena, true);
  }
  return bytes;
}

void heap_make_room(struct patalloc_heap *heap, size_t size) {
  struct usage *usage = &heap->usage;
  EACH_ARENA(heap, arena) {
    if (usage->bytes + size + usage->retained <= usage->bytes_peak || !usage->retained) return;
    arena_drop_kept(arena, 0);
  }
}

void heap_tick(struct patalloc_heap *heap) {
  int64_t interval = heap->options.release_interval;
  if (!heap->ready) return;
  heap_expect_fork();
  EACH_ARENA(heap, arena) {
    reset_settle(arena);
    if (interval < 0) continue;
    arena_drop_kept(arena, (uint32_t)interval);
    arena_release(arena, false);
  }
}

/* Blocks by address */

bool heap_owns(const struct patalloc_heap *heap, uint32_t granule) {
  const struct arena *arena = run_at(region.table[granule].run)->arena;
  return (uintptr_t)arena - (uintptr_t)heap->shards < SHARDS * sizeof(struct shard);
}

/* Walks back to the granule where a block starts, and no further than its run. */
uint32_t heap_find(uintptr_t pointer) {
  uintptr_t address = mte_untag(pointer);
  if (!region_holds((void *)address)) return 0;
  for (uint32_t granule = granule_of(address); granule && region_known(granule); granule--) {
    enum granule_state state = block_state(granule);
    if (state == GRANULE_RANGE) return 0;
    if (state == GRANULE_NONE || block_address(granule) > address) continue;
    const struct run *run = run_at(region.table[granule].run);
    return granule_of(address) < run->first + run->granules ? granule : 0;
  }
  return 0;
}

size_t heap_usable_size(const struct patalloc_heap *heap, uint32_t granule) {
  bool checked = slack_checks(&heap->options, SLACK_LARGE);
  return checked ? region.table[granule].size : tag_usable_size(granule);
}

static void count_range(void *count, uintptr_t from, uintptr_t to) {
  *(size_t *)count += (to - from) >> os_page_shift;
}

long heap_dirty_pages(const struct patalloc_heap *heap, uintptr_t start, size_t bytes) {
  const struct options *options = &heap->options;
  size_t count = 0;
  if (!options_use(options, OS_PROC)) return -1;
  bool scan =
      options_use(options, OS_PAGEMAP_SCAN) && (!heap->refpage || refpage_scans(heap->refpage));
  return os_dirty_ranges(start, bytes, scan, count_range, &count) ? (long)count : -1;
}

int patalloc_inspect(patalloc_heap *heap, const void *pointer, struct patalloc_block *block) {
  uint32_t granule = heap->ready ? heap_find((uintptr_t)pointer) : 0;
  if (!granule || block_state(granule) != GRANULE_LIVE || !heap_owns(heap, granule) ||
      mte_untag((uintptr_t)pointer) >= block_end(granule))
    return errno = ENOENT, -1;
  const struct granule *record = &region.table[granule];
  uintptr_t start = block_pages(granule);
  size_t guard = heap->options.guard_pages << os_page_shift, bytes = block_end(granule) - start;
  *block = (struct patalloc_block){
      .address = (uintptr_t)block_pointer(granule),
      .size = record->size,
      .usable_size = heap_usable_size(heap, granule),
      .guard_before = guard,
      .guard_after = guard,
      .pages = (int64_t)(bytes >> os_page_shift),
      .dirty_pages = heap_dirty_pages(heap, start, bytes),
      .fill = (enum patalloc_fill)record->fill,
      .tag = heap->tagged ? record->tag : -1,
  };
  return 0;
}

/* Data */

static void write_number(struct text *text, const char *name, uint64_t value) {
  text_string(text, ",\n  \"");
  text_string(text, name);
  text_string(text, "\": ");
  text_decimal(text, value);
}

static void write_options(struct text *text, const struct options *options, const char *between) {
  for (int i = 0; option_text(i); i++) {
    text_string(text, i ? between : "");
    text_string(text, option_text(i)->name);
    text_string(text, "=");
    options_format(options, i, text);
  }
}

static const char *backend_name(const struct patalloc_heap *heap) {
  static const char *const names[] = {"zero", "memfd", "descriptor", "uffd"};
  const struct refpage *refpage = heap->refpage;
  if (!heap->ready) return "none yet";
  return refpage ? names[refpage->kind] : "none";
}

static uint64_t sum(const struct patalloc_heap *heap, enum stat stat) {
  uint64_t total = stats_get(&heap->stats, stat);
  for (int i = 0; heap->shards && i < SHARDS; i++) total += stats_get(&heap->shards[i].stats, stat);
  return total;
}

size_t patalloc_stats(patalloc_heap *heap, char *json, size_t capacity) {
  struct text text = {json, capacity, 0};
  char options[4 * DESTINATION_MOST + 1024];
  struct text line = TEXT(options);
  const char *backend = backend_name(heap);
  write_options(&line, &heap->options, ":");
  text_string(&text, "{\n  \"options\": ");
  text_quoted(&text, options, text_length(options));
  text_string(&text, ",\n  \"backend\": ");
  text_quoted(&text, backend, text_length(backend));
  text_string(&text, ",\n  \"features\": [");
  for (int i = 0, listed = 0; i < OS_FEATURES && heap->ready; i++) {
    const char *name = os_feature_texts[i].name;
    if (!options_use(&heap->options, i)) continue;
    text_string(&text, listed++ ? ", " : "");
    text_quoted(&text, name, text_length(name));
  }
  text_string(&text, "]");
  write_number(&text, "pid", (uint64_t)os_process_id());
  write_number(&text, "blocks_live", heap->usage.blocks);
  write_number(&text, "blocks_peak", heap->usage.blocks_peak);
  write_number(&text, "bytes_live", heap->usage.bytes);
  write_number(&text, "bytes_peak", heap->usage.bytes_peak);
  write_number(&text, "bytes_retained", heap->usage.retained);
  write_number(&text, "bytes_quarantined", heap->quarantine.bytes);
  for (int i = 0; i < STATS; i++) write_number(&text, stat_names[i], sum(heap, i));
  write_number(&text, "vmas", vmas_used);
  write_number(&text, "vmas_allowed", heap->ready ? vmas_allowed() : 0);
  text_string(&text, "\n}\n");
  return text.length;
}

size_t patalloc_heap_options(patalloc_heap *heap, char *text, size_t capacity) {
  struct text written = {text, capacity, 0};
  write_options(&written, &heap->options, ":");
  return written.length;
}

void heap_write_stats(struct patalloc_heap *heap) {
  const char *destination = heap->options.stats;
  if (!*destination) return;
  char json[6144];
  size_t length = patalloc_stats(heap, json, sizeof json);
  int descriptor = destination_open(destination, OPEN_NEW);
  if (descriptor < 0) {
    report_line("the stats could not be written: the path can't be opened");
    return;
  }
  os_write(descriptor, json, length < sizeof json ? length : sizeof json - 1);
  destination_close(destination, descriptor);
}

int patalloc_option(int index, struct patalloc_option *option) {
  const struct option_text *text = option_text(index);
  if (!text) return -1;
  *option = (struct patalloc_option){text->name, text->preset, text->allowed, text->meaning};
  return 0;
}

int patalloc_options_check(const char *options, char *text, size_t capacity) {
  struct options parsed;
  struct text written = {text, capacity, 0};
  os_init();
  options_default(&parsed);
  if (!options_parse(&parsed, options, &written)) return errno = EINVAL, -1;
  write_options(&written, &parsed, "\n");
  return 0;
}

int patalloc_feature(int index, struct patalloc_feature *feature) {
  if (index < 0 || index >= OS_FEATURES) return -1;
  os_init();
  const struct os_feature_text *text = &os_feature_texts[index];
  *feature = (struct patalloc_feature){text->name, text->since, text->purpose, text->fallback,
                                       os_has(index)};
  return 0;
}

void patalloc_limits(struct patalloc_limits *limits) {
  os_init();
  *limits = (struct patalloc_limits){os_page, os_max_map_count(), vmas_allowed(),
                                     os_address_space_limit(), os_available_memory()};
}
