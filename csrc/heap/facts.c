/* What can be learnt of heaps, options and the machine (see facts.h and patalloc.h). */
#include "heap/facts.h"

#include "base/json.h"
#include "base/stat_names.h"
#include "os/destination.h"
#include "os/feature_texts.h"
#include "os/files.h"
#include "os/init.h"
#include "os/limits.h"
#include "os/memory.h"
#include "os/process.h"
#include "patalloc.h"
#include "watch/report.h"

#include <errno.h>

/* Blocks */

int patalloc_inspect(patalloc_heap *heap, const void *pointer, struct patalloc_block *block) {
  uint32_t granule = heap->ready ? block_find((uintptr_t)pointer) : 0;
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
      .dirty_pages = heap_dirty_pages(heap, granule),
      .fill = (enum patalloc_fill)record->fill,
      .tag = heap->contents.tagged ? record->tag : -1,
  };
  return 0;
}

/* Heaps */

static uint64_t sum(const struct patalloc_heap *heap, enum stat stat) {
  return stats_get(&heap->stats, stat) + content_stats_sum(&heap->contents, stat);
}

/* One that has supplied no block is not named, whatever was asked for. */
static const char *backend_name(const struct patalloc_heap *heap) {
  static const char *const names[] = {[BACKEND_MEMFD] = "memfd",
                                      [BACKEND_DEVICE] = "device",
                                      [BACKEND_UFFD] = "uffd",
                                      [BACKEND_WRAP] = "wrap",
                                      [BACKEND_SYSCALL] = "syscall"};
  if (!heap->ready) return "none yet";
  const struct refpage *refpage = heap->contents.now->refpage;
  if (!refpage) return "none";
  if (refpage->kind == REFPAGE_ZERO) return "zero";
  if (sum(heap, STAT_BLOCKS_REFPAGE)) return names[refpage->backend.kind];
  return sum(heap, STAT_FALLBACK_NO_SPAN) ? "none" : "none yet";
}

int64_t patalloc_written(patalloc_heap *heap) {
  int64_t pages = (int64_t)sum(heap, STAT_PAGES_DIRTIED);
  for (uint32_t granule = 1; heap->ready && region_known(granule); granule++) {
    if (block_state(granule) != GRANULE_LIVE || !heap_owns(heap, granule)) continue;
    long dirty = heap_dirty_pages(heap, granule);
    if (dirty < 0) return -1;
    pages += dirty;
  }
  return pages << os_page_shift;
}

/* With backend=uffd. */
RARE static void put_accesses(const struct patalloc_heap *heap, struct json *lines) {
  static const char *const names[UFFD_ACCESSES] = {
      [UFFD_READ] = "pages_read_first",
      [UFFD_WRITE] = "pages_written_first",
      [UFFD_WRITE_AFTER_READ] = "pages_written_later",
  };
  const struct refpage *refpage = heap->ready ? heap->contents.now->refpage : NULL;
  for (int i = 0; i < UFFD_ACCESSES; i++)
    json_number(lines, names[i], refpage ? refpage->uffd.pages[i] : 0);
}

size_t patalloc_stats(patalloc_heap *heap, char *json, size_t capacity) {
  struct text text = {json, capacity, 0};
  struct json lines = JSON_LINES(&text);
  char options[5 * DESTINATION_MOST + 1024];
  options[0] = 0;
  options_format(&heap->options, ":", &TEXT(options));
  json_open(&lines);
  json_string(&lines, "options", options);
  json_string(&lines, "backend", backend_name(heap));
  json_key(&lines, "features");
  text_string(&text, "[");
  for (int i = 0, listed = 0; i < OS_FEATURES && heap->ready; i++) {
    if (!os_uses(&heap->options, i)) continue;
    text_string(&text, listed++ ? ", " : "");
    text_quoted(&text, os_feature_names[i], text_length(os_feature_names[i]));
  }
  text_string(&text, "]");
  json_number(&lines, "pid", (uint64_t)os_process_id());
  json_number(&lines, "blocks_live", heap->usage.blocks);
  json_number(&lines, "blocks_peak", heap->usage.blocks_peak);
  json_number(&lines, "bytes_live", heap->usage.bytes);
  json_number(&lines, "bytes_peak", heap->usage.bytes_peak);
  json_number(&lines, "bytes_retained", heap->usage.retained);
  json_number(&lines, "bytes_quarantined", heap->quarantine.bytes);
  for (int i = 0; i < STATS; i++) json_number(&lines, stat_names[i], sum(heap, i));
  put_accesses(heap, &lines);
  json_number(&lines, "vmas", vmas_used);
  json_number(&lines, "vmas_allowed", heap->ready ? vmas_allowed() : 0);
  text_string(&text, "\n}\n");
  return text.length;
}

static bool write_stats(int descriptor, void *json) {
  os_write(descriptor, json, text_length(json));
  return true;
}

void heap_write_stats_there(struct patalloc_heap *heap) {
  const char *name = heap->options.stats;
  char json[6144];
  patalloc_stats(heap, json, sizeof json);
  if (!destination_visit(name, &heap->stats_file, OPEN_NEW, write_stats, json))
    report_line("the stats could not be written: they can't be opened, or are another file by now");
}

size_t patalloc_heap_options(patalloc_heap *heap, char *text, size_t capacity) {
  struct text written = {text, capacity, 0};
  options_format(&heap->options, ":", &written);
  return written.length;
}

/* Options and kernel features */

/* What is allowed is composed when it is first asked for, and stays, as callers have pointers to
 * it. */

typedef char allowed_text[320];

static allowed_text *compose_allowed(void) {
  static allowed_text *_Atomic composed;
  size_t size = page_up(OPTIONS_MOST * sizeof(allowed_text));
  allowed_text *made = composed, *other = NULL;
  struct option_text text;
  if (made || !(made = os_map(size))) return made;
  for (int i = 0; option_describe(i, &text, &TEXT(made[i])); i++) {
  }
  if (atomic_compare_exchange_strong(&composed, &other, made)) return made;
  os_unmap(made, size);
  return other;
}

int patalloc_option(int index, struct patalloc_option *option) {
  char scrap[1];
  struct option_text text;
  os_init();
  if (!option_describe(index, &text, &TEXT(scrap))) return -1;
  allowed_text *allowed = compose_allowed();
  *option =
      (struct patalloc_option){text.name, text.preset, allowed ? allowed[index] : "", text.meaning};
  return 0;
}

int patalloc_options_check(const char *options, char *text, size_t capacity) {
  struct options parsed;
  struct text written = {text, capacity, 0};
  os_init();
  options_default(&parsed);
  if (!options_parse(&parsed, options, &written)) return errno = EINVAL, -1;
  options_format(&parsed, "\n", &written);
  return 0;
}

int patalloc_feature(int index, struct patalloc_feature *feature) {
  if (index < 0 || index >= OS_FEATURES) return -1;
  os_init();
  const struct os_feature_text *text = &os_feature_texts[index];
  *feature = (struct patalloc_feature){os_feature_names[index], text->since, text->purpose,
                                       text->fallback, os_has(index)};
  return 0;
}

void patalloc_limits(struct patalloc_limits *limits) {
  os_init();
  *limits = (struct patalloc_limits){os_page, os_max_map_count(), vmas_allowed(),
                                     os_address_space_limit(), os_available_memory()};
}
