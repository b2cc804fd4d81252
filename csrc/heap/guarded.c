/* Small requests in slots (see guarded.h). */
#include "heap/guarded.h"

#include "blocks/slot.h"
#include "heap/fork.h"
#include "heap/primary.h"
#include "heap/small.h"
#include "os/process.h"
#include "pages/fill.h"
#include "watch/event.h"
#include "watch/fault.h"
#include "watch/history.h"
#include "watch/hunt.h"
#include "watch/report.h"
#include "watch/slack.h"

#include <errno.h>
#include <string.h>

bool guarded_is_due(const struct options *options) {
  return options->guard_small && !hunt_is_asked_for(options);
}

/* Threads share feeds as they come. */
static unsigned feed_of_thread(void) {
  static _Atomic unsigned threads;
  static _Thread_local unsigned mine __attribute__((tls_model("initial-exec"))); /* from 1 */
  if (!mine) mine = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
  return mine - 1;
}

/* One in so many, each time another distance away (1 to twice as many less one), so that no request
 * of a loop is always left out. */
static bool is_chosen(uint32_t in_so_many) {
  static _Thread_local uint32_t left __attribute__((tls_model("initial-exec")));
  static _Thread_local uint64_t state __attribute__((tls_model("initial-exec")));
  if (in_so_many == 1) return true;
  if (left-- > 1) return false;
  bool first = !state;
  if (first) state = os_random() | 1;
  state = state * 6364136223846793005 + 1442695040888963407; /* Knuth, MMIX */
  left = 1 + (uint32_t)((state >> 33) % (2 * (uint64_t)in_so_many - 1));
  return !first;
}

/* The primary is started, too, as it may be for other reasons in a thread that is to be cancelled:
 * glibc's calls getrandom(2) first, which is a cancellation point. */
static bool prepare(struct patalloc_heap *heap) {
  fork_expect();
  if (slot_table) return true;
  if (slot_init(&heap->options)) {
    fork_handle();
    primary.free(primary.malloc(1));
    return true;
  }
  if (!atomic_exchange(&heap->unslotted, true))
    report_line("guard_small: guard regions are not to be had (Linux 6.13, of files 6.15); small "
                "blocks have no guards");
  return false;
}

static void *take(struct patalloc_heap *heap, size_t alignment, size_t size, bool zero) {
  const struct options *options = &heap->options;
  if (heap->unslotted || !slot_fits(size, alignment) || !is_chosen(options->guard_small))
    return NULL;
  if (!prepare(heap)) return NULL;
  bool left = options->side == SIDE_LEFT || (options->side == SIDE_RANDOM && os_random() & 1);
  uint32_t slot = slot_take(feed_of_thread(), size, alignment, left, options);
  if (!slot) return stats_add(heap_stats(heap), STAT_GUARDS_MISSING, 1), NULL;
  uintptr_t start = slot_block(slot), end = chunk_slot_address(slot) + os_page;
  if (heap->watch.reports) {
    fault_watch(false);
    slot_table[slot].allocated = history_now(options);
    slot_table[slot].freed = (struct moment){0};
  }
  if (zero) memset((void *)start, 0, size);
  fill_pattern(options->pattern, (void *)(zero ? start + size : start),
               zero ? end - start - size : end - start);
  stats_add(heap_stats(heap), STAT_SMALL_GUARDED, 1);
  return (void *)start;
}

/* Of what the request leaves open. */
static size_t alignment_of(const struct patalloc_heap *heap) {
  return (size_t)16 >> heap->options.align;
}

static void *guarded_malloc(struct patalloc_heap *heap, size_t size) {
  void *pointer = take(heap, alignment_of(heap), size, false);
  return pointer ? pointer : heap->unguarded->malloc(heap, size);
}

static void *guarded_calloc(struct patalloc_heap *heap, size_t size) {
  void *pointer = take(heap, alignment_of(heap), size, true);
  return pointer ? pointer : heap->unguarded->calloc(heap, size);
}

static void *guarded_aligned(struct patalloc_heap *heap, size_t alignment, size_t size) {
  void *pointer = take(heap, alignment, size, false);
  return pointer ? pointer : heap->unguarded->aligned(heap, alignment, size);
}

/* What lies between a block and its guard, too short for that to be reached. */
static void check_slack(const struct watch *watch, const char *call, uint32_t slot) {
  struct slack_part part;
  struct event event;
  uintptr_t from = slot_block(slot) + slot_table[slot].size;
  uintptr_t end = chunk_slot_address(slot) + os_page;
  if (!slack_checks(watch->options, SLACK_LARGE)) return;
  if (!slack_find(watch->options->pattern, from, end, &part)) return;
  event_of_slot_overwrite(&event, call, slot, part.from, part.end);
  report_error(watch, &event);
}

static void guarded_free(struct patalloc_heap *heap, void *pointer) {
  const struct options *options = &heap->options;
  uint32_t slot = chunk_slot_of((uintptr_t)pointer);
  if (!chunk_holds((uintptr_t)pointer)) return heap->unguarded->free(heap, pointer);
  int error = errno;
  fork_expect();
  if (!slot_claim(slot, pointer)) {
    report_misuse(&heap->watch, "free", pointer);
    errno = error;
    return;
  }
  check_slack(&heap->watch, "free", slot);
  if (heap->watch.reports) slot_table[slot].freed = history_now(options);
  struct pattern complement = {~options->pattern.word, options->pattern.size};
  fill_pattern(complement, pointer, slot_table[slot].size);
  slot_give(feed_of_thread(), slot, options);
  errno = error;
}

static size_t guarded_usable_size(struct patalloc_heap *heap, const char *call, void *pointer) {
  uint32_t slot = chunk_slot_of((uintptr_t)pointer);
  if (!chunk_holds((uintptr_t)pointer)) return heap->unguarded->usable_size(heap, call, pointer);
  if (slot_is_live(slot, pointer)) return slot_table[slot].size;
  report_misuse(&heap->watch, call, pointer);
  return USABLE_NONE;
}

/* To another place: where it ends is where its guard is. */
static void *guarded_realloc(struct patalloc_heap *heap, void *pointer, size_t have, size_t size) {
  if (!chunk_holds((uintptr_t)pointer)) return heap->unguarded->realloc(heap, pointer, have, size);
  return small_move(heap, &small_guarded, pointer, have, size);
}

const struct small_path small_guarded = {guarded_malloc, guarded_calloc,  guarded_aligned,
                                         guarded_free,   guarded_realloc, guarded_usable_size};
