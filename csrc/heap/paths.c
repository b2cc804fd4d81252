/* Paths (see paths.h). */
#include "heap/paths.h"

#include "heap/careful.h"
#include "heap/check.h"
#include "heap/fork.h"
#include "heap/guarded.h"
#include "heap/hunted.h"
#include "heap/large.h"
#include "heap/primary.h"
#include "heap/realloc.h"
#include "heap/small.h"
#include "heap/tagged.h"
#include "os/destination.h"
#include "os/features.h"
#include "os/limits.h"
#include "os/memory.h"
#include "pages/compare.h"
#include "watch/disposition.h"
#include "watch/fault.h"
#include "watch/hunt.h"
#include "watch/report.h"
#include "watch/resume.h"

static const struct block_path blocks_plain = {large_take, large_give, realloc_resize};
static const struct block_path blocks_hunted = {hunted_take, hunted_give, hunted_resize};

static const struct large_path large_plain = {large_allocate, large_free, realloc_large};
static const struct large_path large_tagged = {tagged_allocate, tagged_free, tagged_realloc};
static const struct large_path large_hopeless = {large_from_primary, large_free, realloc_large};

/* The first large request: what it needs is prepared, and from then on another path taken. */

static void prepare(struct patalloc_heap *heap) {
  const struct options *options = &heap->options;
  bool huge = options->fill == FILL_AUTO && os_uses(options, OS_HUGE_PAGES), tagged;
  bool able = region_init(options->reserve) && run_init();
  tagged = options->tag != TAG_OFF && os_uses(options, OS_MTE);
  heap->contents = (struct contents){.options = options,
                                     .lock = &heap->lock,
                                     .usage = &heap->usage,
                                     .tagged = tagged,
                                     .huge_page = huge ? os_huge_page() : 0};
  able = able && content_choose(&heap->contents, options->pattern);
  if (able && !heap->contents.now->refpage && options->backend.kind == BACKEND_UFFD)
    report_line("backend=uffd: this process may not use userfaultfd(2); blocks are memset");
  if (tagged || heap->watch.reports) fault_watch(tagged);
  heap->ready = able;
  heap->large = !able ? &large_hopeless : tagged ? &large_tagged : &large_plain;
}

static void *allocate_first(struct patalloc_heap *heap, const struct request *request);
static const struct large_path large_unready = {allocate_first, large_free, realloc_large};

/* Enlisted before its lock is taken: fork takes the list's lock first. */
static void *allocate_first(struct patalloc_heap *heap, const struct request *request) {
  const struct options *options = &heap->options;
  fork_expect();
  fork_enlist(heap);
  if (*options->stats || options->backend.kind == BACKEND_UFFD) fork_handle();
  lock_take(&heap->lock);
  if (heap->large == &large_unready) prepare(heap);
  lock_drop(&heap->lock);
  return heap->large->allocate(heap, request);
}

void paths_start(struct patalloc_heap *heap) {
  struct options *options = &heap->options;
  bool reports = options_report(options), hunts = hunt_is_asked_for(options);
  heap->watch = (struct watch){
      .options = options,
      .stats = &heap->stats,
      .reports = reports,
      .hunts = hunts,
  };
  if (reports) report_start(options);
  if (reports) resume_start(options);
  if (reports || options_guard_small(options)) report_last_look = check_all;
  bool records = *options->record;
  if (reports || hunts || records || (options->tag != TAG_OFF && os_uses(options, OS_MTE))) {
    disposition_expect(primary.sigaction);
    fork_handle();
  }
  destination_identify(options->stats, &heap->stats_file);
  if (hunts) hunt_start(options);
  if (*options->guard_sites && !hunts) guarded_start(heap);
  heap->blocks = hunts ? &blocks_hunted : &blocks_plain;
  heap->large = &large_unready;
  paths_choose_small(heap);
}

/* Before there is a fork that could leave a child without the lock. */
static void number_patterns(const struct options *options) {
  struct pattern pattern = options_pattern(options);
  pattern_number(pattern);
  pattern_number((struct pattern){~pattern.word, pattern.size});
}

void paths_choose_small(struct patalloc_heap *heap) {
  const struct options *options = &heap->options;
  if (options->slack_check || heap->watch.reports) number_patterns(options);
  heap->unguarded = careful_is_due(options) ? &small_careful : &small_plain;
  heap->uncounted = guarded_is_due(options) ? &small_guarded : heap->unguarded;
  heap->small = options->count ? &small_counted : heap->uncounted;
}
