/* Heaps: start, end, fork, and what can be learnt of one (see heap.h and patalloc.h). */
#include "heap.h"

#include "patalloc.h"
#include "report.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* All heaps, for fork */

static struct lock heaps_lock = LOCK_INITIAL; /* guards the two below */
static struct patalloc_heap *heaps;
static bool handlers_set;

_Atomic pthread_t lock_fork_owner;

/* Locks are taken in this order, and only here more than one at a time. */
static void before_fork(void) {
  lock_take(&heaps_lock);
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next) {
    lock_take(&heap->lock);
    lock_take(&heap->patterned.lock);
    lock_take(&heap->zeroed.lock);
  }
  refpage_lock_all();
  run_lock();
  region_lock();
  lock_fork_owner = pthread_self();
}

static void after_fork(void) {
  lock_fork_owner = 0;
  region_unlock();
  run_unlock();
  refpage_unlock_all();
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next) {
    lock_drop(&heap->zeroed.lock);
    lock_drop(&heap->patterned.lock);
    lock_drop(&heap->lock);
  }
  lock_drop(&heaps_lock);
}

static void after_fork_in_child(void) {
  after_fork();
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next) stats_restart(&heap->stats);
}

static void enlist(struct patalloc_heap *heap) {
  lock_take(&heaps_lock);
  heap->next = heaps;
  heaps = heap;
  bool set = handlers_set;
  handlers_set = true;
  lock_drop(&heaps_lock);
  if (!set) pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

static void delist(struct patalloc_heap *heap) {
  lock_take(&heaps_lock);
  struct patalloc_heap **link = &heaps;
  while (*link && *link != heap) link = &(*link)->next;
  if (*link) *link = heap->next;
  lock_drop(&heaps_lock);
}

/* Start and end */

void heap_start(struct patalloc_heap *heap) {
  os_init();
  lock_init(&heap->lock);
  arena_init(&heap->patterned, NULL, &heap->options, &heap->stats);
  arena_init(&heap->zeroed, &refpage_zero, &heap->options, &heap->stats);
}

/* Enlisted before its lock is taken: fork takes the list's lock first. */
bool heap_prepare(struct patalloc_heap *heap) {
  if (heap->ready || heap->hopeless) return heap->ready;
  lock_take(&heap->lock);
  bool first = !heap->ready && !heap->hopeless;
  if (first) {
    if (heap->options.fill == FILL_REFPAGE || !heap->options.pattern.size)
      heap->patterned.refpage = refpage_get(&heap->options, heap->options.pattern);
    bool able = region_init(heap->options.reserve);
    heap->hopeless = !able;
    heap->ready = able;
  }
  lock_drop(&heap->lock);
  if (first && heap->ready) enlist(heap);
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
  heap_start(heap);
  return heap;
}

void patalloc_heap_destroy(patalloc_heap *heap) {
  heap_write_stats(heap);
  if (heap->ready) {
    delist(heap);
    run_release_all(&heap->patterned);
    run_release_all(&heap->zeroed);
  }
  os_unmap(heap, page_up(sizeof *heap));
}

size_t patalloc_release(patalloc_heap *heap) {
  if (!heap->ready) return 0;
  return arena_release(&heap->patterned) + arena_release(&heap->zeroed);
}

/* Blocks by address */

bool heap_owns(const struct patalloc_heap *heap, uint32_t granule) {
  const struct arena *arena = run_at(region.table[granule].run)->arena;
  return arena == &heap->patterned || arena == &heap->zeroed;
}

/* Walks back to the granule where a block starts, and no further than its run. */
uint32_t heap_find(uintptr_t address) {
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

long heap_dirty_pages(const struct patalloc_heap *heap, uintptr_t start, size_t bytes) {
  const struct options *options = &heap->options;
  if (!options_use(options, OS_PROC)) return -1;
  return os_dirty_pages(start, bytes, options_use(options, OS_PAGEMAP_SCAN));
}

int patalloc_inspect(patalloc_heap *heap, const void *pointer, struct patalloc_block *block) {
  uint32_t granule = heap->ready ? heap_find((uintptr_t)pointer) : 0;
  if (!granule || block_state(granule) != GRANULE_LIVE || !heap_owns(heap, granule) ||
      (uintptr_t)pointer >= block_end(granule))
    return errno = ENOENT, -1;
  const struct granule *record = &region.table[granule];
  uintptr_t address = block_address(granule), start = block_pages(granule);
  size_t guard = heap->options.guard_pages << os_page_shift, bytes = block_end(granule) - start;
  *block = (struct patalloc_block){
      .address = address,
      .size = record->size,
      .usable_size = block_end(granule) - address,
      .guard_before = guard,
      .guard_after = guard,
      .pages = (int64_t)(bytes >> os_page_shift),
      .dirty_pages = heap_dirty_pages(heap, start, bytes),
      .fill = (enum patalloc_fill)record->fill,
  };
  return 0;
}

/* Data */

static void write_string(struct text *text, const char *name, const char *value, size_t length) {
  text_string(text, name);
  text_string(text, "\"");
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)value[i];
    if (c == '"' || c == '\\') text_string(text, "\\");
    if (c < 0x20 || c >= 0x7f)
      text_string(text, "?");
    else
      text_span(text, &value[i], 1);
  }
  text_string(text, "\"");
}

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
  static const char *const names[] = {"zero", "memfd", "descriptor"};
  const struct refpage *refpage = heap->patterned.refpage;
  if (!heap->ready) return "none yet";
  return refpage ? names[refpage->kind] : "none";
}

size_t patalloc_stats(patalloc_heap *heap, char *json, size_t capacity) {
  struct text text = {json, capacity, 0};
  char options[2 * STATS_PATH + 512];
  struct text line = TEXT(options);
  const char *backend = backend_name(heap);
  write_options(&line, &heap->options, ":");
  write_string(&text, "{\n  \"options\": ", options, strlen(options));
  write_string(&text, ",\n  \"backend\": ", backend, strlen(backend));
  text_string(&text, ",\n  \"features\": [");
  for (int i = 0, listed = 0; i < OS_FEATURES && heap->ready; i++) {
    const char *name = os_feature_texts[i].name;
    if (!options_use(&heap->options, i)) continue;
    write_string(&text, listed++ ? ", " : "", name, strlen(name));
  }
  text_string(&text, "]");
  write_number(&text, "pid", (uint64_t)os_process_id());
  for (int i = 0; i < STATS; i++) write_number(&text, stat_names[i], stats_get(&heap->stats, i));
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

/* The path with %p replaced by the process's number; or fd:N. */
static int open_destination(const char *destination) {
  char path[STATS_PATH + 32];
  struct text text = TEXT(path);
  if (!strncmp(destination, "fd:", 3)) {
    int descriptor = 0;
    for (const char *at = destination + 3; *at; at++) descriptor = descriptor * 10 + (*at - '0');
    return descriptor;
  }
  for (const char *at = destination; *at; at++) {
    if (at[0] == '%' && at[1] == 'p')
      text_decimal(&text, (uint64_t)os_process_id()), at++;
    else
      text_span(&text, at, 1);
  }
  return os_create_file(path);
}

void heap_write_stats(struct patalloc_heap *heap) {
  const char *destination = heap->options.stats;
  if (!*destination) return;
  char json[4096];
  size_t length = patalloc_stats(heap, json, sizeof json);
  int descriptor = open_destination(destination);
  if (descriptor < 0) {
    report_line("the stats could not be written: the path can't be opened");
    return;
  }
  os_write(descriptor, json, length < sizeof json ? length : sizeof json - 1);
  if (strncmp(destination, "fd:", 3)) os_close(descriptor);
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
