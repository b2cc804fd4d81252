/* Guarded small requests (see guarded.h). */
#include "heap/guarded.h"

#include "blocks/slot.h"
#include "heap/fork.h"
#include "heap/primary.h"
#include "heap/small.h"
#include "os/process.h"
#include "pages/compare.h"
#include "pages/fill.h"
#include "pages/mover.h"
#include "watch/event.h"
#include "watch/fault.h"
#include "watch/history.h"
#include "watch/hunt.h"
#include "watch/origin.h"
#include "watch/program.h"
#include "watch/recover.h"
#include "watch/report.h"
#include "watch/resume.h"
#include "watch/selection.h"

#include <errno.h>
#include <string.h>

bool guarded_is_due(const struct options *options) {
  return options_guard_small(options) && !hunt_is_asked_for(options);
}

void guarded_start(struct patalloc_heap *heap) {
  heap->sites = selection_read(heap->options.guard_sites);
  if (!heap->sites)
    report_line("guard_sites: the file can't be read, or is none that patalloc has made; no call "
                "stacks are chosen");
}

/* Threads share feeds as they come. */
static unsigned feed_of_thread(void) {
  static _Atomic unsigned threads;
  static _Thread_local unsigned mine __attribute__((tls_model("initial-exec"))); /* from 1 */
  if (!mine) mine = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
  return mine - 1;
}

/* Samples: one request in so many, or fewer where they come so fast that too much of the thread's
 * time would go into them: 1 % with one in 1,000, ten times as much with one in 100. */

static _Thread_local struct sampler {
  uint32_t left, distance; /* requests until the next sample, of so many from the last one */
  uint32_t interval;       /* one in so many, now */
  uint64_t time;           /* of the last one, nanoseconds */
  uint64_t state;          /* of the generator */
} sampler __attribute__((tls_model("initial-exec")));

/* Halfway to what the time since the last sample suggests, as requests come in bursts. */
static uint32_t adapted(uint32_t in_so_many, uint64_t now) {
  enum { COST = 5000, SHARE = 10 }; /* nanoseconds of a sample; in_so_many over it, of those */
  uint64_t between = (uint64_t)COST * in_so_many / SHARE;
  uint64_t request = (now - sampler.time) / (sampler.distance + 1) + 1; /* takes so long */
  uint64_t interval = between / request / 2 + sampler.interval / 2;
  return interval < in_so_many ? in_so_many : interval > INT32_MAX ? INT32_MAX : (uint32_t)interval;
}

/* Each time another distance away (1 to twice the interval less one), so that no request of a loop
 * is always left out. The first draw is no sample: it would be every thread's first request. */
__attribute__((noinline)) RARE static bool draw(uint32_t in_so_many) {
  bool first = !sampler.state;
  uint64_t now = os_nanoseconds();
  if (first) sampler = (struct sampler){.interval = in_so_many, .state = os_random() | 1};
  if (!first) sampler.interval = adapted(in_so_many, now);
  sampler.time = now;
  sampler.state = sampler.state * 6364136223846793005 + 1442695040888963407; /* Knuth, MMIX */
  uint64_t range = 2 * (uint64_t)sampler.interval - 1;
  sampler.left = sampler.distance = 1 + (uint32_t)((sampler.state >> 32) % range);
  return !first;
}

__attribute__((noinline)) static bool is_site(const struct patalloc_heap *heap, size_t size) {
  int error = errno;
  unsigned frames = heap->sites->frames ? heap->sites->frames : HUNT_FRAMES;
  uint64_t stack = 0, number = stack_count(stack_take(frames), size, &stack);
  errno = error;
  return selection_find(heap->sites, stack, number).count;
}

static inline bool is_chosen(const struct patalloc_heap *heap, size_t size) {
  uint32_t in_so_many = heap->options.guard_small;
  if (in_so_many == 1 || (heap->sites && is_site(heap, size))) return true;
  return in_so_many && sampler.left-- <= 1 && draw(in_so_many);
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
  heap->unslotted = true;
  return false;
}

/* Told once, of a heap that is to guard more than a sample. */
static void *go_without(struct patalloc_heap *heap) {
  stats_add(heap_stats(heap), STAT_GUARDS_MISSING, 1);
  if (!options_sample(&heap->options) && !atomic_exchange(&heap->goes_without, true))
    report_line("guard_small: some small blocks have no guard: there is no address space left, or "
                "are no mappings (vm.max_map_count)");
  return NULL;
}

static void *take_slot(struct patalloc_heap *heap, size_t alignment, size_t size, bool zero,
                       bool left) {
  const struct options *options = &heap->options;
  if (heap->unslotted || !prepare(heap)) return go_without(heap);
  uint32_t slot = slot_take(feed_of_thread(), size, alignment, left, options);
  if (!slot) return go_without(heap);
  uintptr_t start = slot_block(slot), front = slot_front(slot), end = slot_end(slot);
  if (heap->watch.reports) {
    fault_watch(false);
    slot_table[slot].allocated = history_now(options);
    slot_table[slot].freed = (struct moment){0};
  }
  stats_add(heap_stats(heap), STAT_SMALL_GUARDED, 1); /* here, as it waits for what was stored */
  uintptr_t rest = zero ? start + size : start;
  struct pattern pattern = options_pattern(options);
  fill_pattern(pattern, (void *)front, start - front);
  if (zero) memset((void *)start, 0, size);
  fill_pattern(pattern, (void *)rest, end - rest);
  slot_table[slot].around = options->slack_check ? pattern_number(pattern) : 0;
  slot_publish(slot);
  return (void *)start;
}

/* Blocks that begin with a page begin at the guard before them. */
static void *take_large(struct patalloc_heap *heap, size_t alignment, size_t size, bool zero,
                        bool left) {
  struct request request = {.size = size + !size,
                            .alignment = left && alignment < os_page ? os_page : alignment,
                            .content = zero ? HOLDS_ZEROS : HOLDS_PATTERN};
  stats_add(heap_stats(heap), STAT_SMALL_GUARDED, 1);
  return heap->large->allocate(heap, &request);
}

static void *take(struct patalloc_heap *heap, size_t alignment, size_t size, bool zero) {
  int side = heap->options.side;
  bool left = side == SIDE_LEFT || (side == SIDE_RANDOM && os_random() & 1);
  return (slot_fits(size, alignment) ? take_slot : take_large)(heap, alignment, size, zero, left);
}

/* Of what the request leaves open. Memory tags are of 16 bytes each. */
static size_t alignment_of(const struct patalloc_heap *heap) {
  return (size_t)16 >> (heap->options.tag == TAG_OFF ? heap->options.align : ALIGN_16);
}

/* Those that are not chosen are not to feel it. */

__attribute__((noinline)) static void *chosen(struct patalloc_heap *heap, size_t size, bool zero) {
  const struct small_path *otherwise = heap->unguarded;
  void *pointer = take(heap, alignment_of(heap), size, zero);
  return pointer ? pointer : (zero ? otherwise->calloc : otherwise->malloc)(heap, size);
}

static void *guarded_malloc(struct patalloc_heap *heap, size_t size) {
  if (is_chosen(heap, size)) return chosen(heap, size, false);
  return heap->unguarded->malloc(heap, size);
}

static void *guarded_calloc(struct patalloc_heap *heap, size_t size) {
  if (is_chosen(heap, size)) return chosen(heap, size, true);
  return heap->unguarded->calloc(heap, size);
}

static void *guarded_aligned(struct patalloc_heap *heap, size_t alignment, size_t size) {
  bool chosen = is_chosen(heap, size);
  void *pointer = chosen ? take(heap, alignment, size, false) : NULL;
  return pointer ? pointer : heap->unguarded->aligned(heap, alignment, size);
}

/* What lies between a block and its guard, too short for that to be reached, and in front of it. */
static bool find_overwritten(const char *call, uint32_t slot, struct event *event) {
  struct difference part;
  uintptr_t start = slot_block(slot), end = start + slot_table[slot].size;
  uint8_t around = slot_table[slot].around;
  if (!around) return false;
  if (!compare_pattern(pattern_of(around), end, slot_end(slot), &part) &&
      !compare_pattern(pattern_of(around), slot_front(slot), start, &part))
    return false;
  event_of_slot_overwrite(event, call, slot, part.from, part.end);
  return true;
}

RARE static void report_written(const struct watch *watch, const char *call,
                                const struct slot_written *written) {
  struct event event;
  event_of_slot_written(&event, call, written);
  report_error(watch, &event);
}

/* Once. What was freed, and what lies between blocks, reads as zeros; blocks to come have guards.
 */
RARE static void tell_of_loss(void) {
  static _Atomic bool told;
  if (!atomic_exchange(&told, true))
    report_line("guard_small: the descriptor by which small blocks had guards is gone; those that "
                "there were have none any more");
}

__attribute__((noinline)) static void free_chosen(struct patalloc_heap *heap, void *pointer) {
  const struct options *options = &heap->options;
  uint32_t slot = chunk_slot_of((uintptr_t)pointer);
  int error = errno;
  fork_expect();
  if (!slot_claim(slot, pointer)) {
    report_misuse(&heap->watch, "free", pointer);
    errno = error;
    return;
  }
  origin_expect_malloc(&heap->watch, "free", pointer, slot_table[slot].origin);
  struct event event;
  if (find_overwritten("free", slot, &event)) report_error(&heap->watch, &event);
  if (heap->watch.reports) slot_table[slot].freed = history_now(options);
  resume_shut(chunk_slot_address(slot), slot_end(slot));
  struct slot_written written;
  bool found = slot_give(feed_of_thread(), slot, options, &written);
  for (; found; found = slot_go_on(feed_of_thread(), options, &written))
    report_written(&heap->watch, "free", &written);
  if (mover_is_lost()) tell_of_loss();
  errno = error;
}

/* Where all have guards few others are freed. */
__attribute__((noinline)) static void free_other(struct patalloc_heap *heap, void *pointer) {
  if (heap->watch.reports) fault_watch(false);
  if (pointer && program_owns(pointer, heap->watch.reports))
    return report_misuse(&heap->watch, "free", pointer);
  heap->unguarded->free(heap, pointer);
}

static void guarded_free(struct patalloc_heap *heap, void *pointer) {
  if (chunk_holds((uintptr_t)pointer)) return free_chosen(heap, pointer);
  if (heap->options.guard_small == 1) return free_other(heap, pointer);
  heap->unguarded->free(heap, pointer);
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
  struct slot *slot = &slot_table[chunk_slot_of((uintptr_t)pointer)];
  origin_expect_malloc(&heap->watch, "realloc", pointer, slot->origin);
  slot->origin = ORIGIN_CHECKED;
  return small_move(heap, &small_guarded, pointer, have, size);
}

/* With a lock, which a fault must not leave behind: the program may have protected the block. */
struct around {
  const char *call;
  uint32_t slot;
  struct event *event;
  bool found;
};
RARE static void look_around(void *looked) {
  struct around *around = looked;
  around->found = find_overwritten(around->call, around->slot, around->event);
}

void guarded_look(const char *call, report_tell *tell, bool recovers) {
  static struct event event; /* one thread at a time looks */
  struct slot_written written;
  while (slot_find_written(&written)) {
    event_of_slot_written(&event, call, &written);
    tell(&event);
  }
  struct around around = {.call = call, .event = &event};
  while (recovers && (around.slot = slot_enter_next(around.slot))) {
    around.found = false;
    recover_try(look_around, &around);
    slot_leave(around.slot);
    if (around.found) tell(&event);
  }
}

const struct small_path small_guarded = {guarded_malloc, guarded_calloc,  guarded_aligned,
                                         guarded_free,   guarded_realloc, guarded_usable_size};
