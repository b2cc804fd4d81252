/* Recorded requests (see recorded.h). */
#include "heap/recorded.h"

#include "os/features.h"
#include "os/pagemap.h"
#include "os/process.h"
#include "pages/compare.h"
#include "patalloc.h"
#include "watch/fault.h"
#include "watch/pycalls.h"
#include "watch/recover.h"
#include "watch/report.h"
#include "watch/ring.h"
#include "watch/stack.h"

#include <errno.h>

bool recorded_start(const struct options *options) {
  bool done = ring_start(options->record);
  if (!done && errno != ENOENT)
    report_line("record: files can't be made there; nothing is recorded");
  if (done) fault_watch(false); /* for stacks that are not as they should be */
  if (done && stack_frames(options)) pycalls_start();
  return done;
}

static inline void note(uint64_t kind, const void *pointer, size_t size, uint32_t stack) {
  ring_note(kind, mte_untag((uintptr_t)pointer), size, stack);
}

static inline uint32_t take_stack(const struct patalloc_heap *heap) {
  unsigned most = stack_frames(&heap->options);
  return most && ring_mine.stacks ? stack_take_near(most, ring_mine.stacks) : 0;
}

static inline void note_taken(const struct patalloc_heap *heap, uint64_t kind, void *pointer,
                              size_t size) {
  if (!pointer || !ring_enter()) return;
  int error = errno;
  note(kind, pointer, size, take_stack(heap));
  errno = error;
}

/* What was written */

enum { LARGE = 1 << 20 }; /* bytes of a block of which that is told */

struct written {
  bool able;  /* to be noted */
  bool known; /* so far */
  uint32_t granule;
  struct pattern pattern; /* of size 0: which is not known */
  uint64_t first, end;    /* pages that are not told yet; if none was written, none are told */
};

static void put_run(const struct written *written) {
  ring_put(block_address(written->granule) | (uint64_t)RING_WRITTEN << RING_KIND_SHIFT,
           written->first | (written->end - written->first) << 32);
}

static void add_page(struct written *written, uintptr_t page) {
  uint64_t number = (page - block_pages(written->granule)) >> os_page_shift;
  if (number != written->end) {
    if (written->first < written->end) put_run(written);
    written->able = ring_enter();
    if (!written->able) return;
    written->first = number;
  }
  written->end = number + 1;
}

/* Ranges as the kernel tells them, apart (os/pagemap.h): no more than there is room for. */
enum { RANGES = 256 };
struct ranges {
  unsigned count;
  uintptr_t next; /* where the rest begins; 0: there is none */
  struct {
    uintptr_t from, to;
  } list[RANGES];
};

static void note_range(void *context, uintptr_t from, uintptr_t to) {
  struct ranges *ranges = context;
  if (ranges->next) return;
  if (ranges->count && ranges->list[ranges->count - 1].to == from)
    ranges->list[ranges->count - 1].to = to;
  else if (ranges->count < RANGES)
    ranges->list[ranges->count].from = from, ranges->list[ranges->count++].to = to;
  else
    ranges->next = from;
}

/* Pages that were kept when another block was freed hold the pattern again. */
static void add_range(struct written *written, uintptr_t from, uintptr_t to) {
  struct difference part;
  for (uintptr_t page = from; page < to && written->able; page += os_page)
    if (!written->pattern.size || compare_pattern(written->pattern, page, page + os_page, &part))
      add_page(written, page);
}

static struct pattern pattern_in(const struct patalloc_heap *heap, uint32_t granule) {
  enum block_fill fill = region.table[granule].fill;
  if (fill == BLOCK_ZERO) return (struct pattern){0, 1};
  if (fill == BLOCK_REFPAGE || fill == BLOCK_MEMSET) return options_pattern(&heap->options);
  return (struct pattern){0};
}

struct looking {
  struct written *written;
  const struct ranges *ranges;
};

static void look(void *context) {
  struct looking *looking = context;
  for (unsigned i = 0; i < looking->ranges->count; i++)
    add_range(looking->written, looking->ranges->list[i].from, looking->ranges->list[i].to);
}

/* Of a block that its thread alone has, or that has no thread any more. From a page on that the
 * program has made inaccessible it is not known. */
static void note_written(const struct patalloc_heap *heap, uint32_t granule) {
  const struct options *options = &heap->options;
  struct written written = {.able = ring_enter(),
                            .granule = granule,
                            .pattern = pattern_in(heap, granule),
                            .known = true};
  if (!written.able || !os_uses(options, OS_PROC)) return;
  int error = errno;
  bool scan = os_uses(options, OS_PAGEMAP_SCAN) && refpage_scans(block_run(granule)->refpage);
  uintptr_t end = block_end(granule);
  for (uintptr_t at = block_pages(granule); at && written.known;) {
    struct ranges ranges;
    ranges.count = 0;
    ranges.next = 0;
    written.known = os_dirty_ranges(at, end - at, scan, note_range, &ranges);
    struct looking looking = {&written, &ranges};
    written.known = written.known && recover_try(look, &looking);
    at = ranges.next;
  }
  if (written.able && written.known) put_run(&written);
  errno = error;
}

static void note_taking(const struct patalloc_heap *heap, const void *pointer) {
  if (!region_holds(pointer)) return;
  uint32_t granule = block_find((uintptr_t)pointer);
  if (granule && block_state(granule) == GRANULE_LIVE && heap_owns(heap, granule) &&
      region.table[granule].size >= LARGE)
    note_written(heap, granule);
}

void recorded_end(struct patalloc_heap *heap) {
  if (ring_process() != (uint32_t)os_process_id()) return; /* not in a child of vfork(2) */
  for (uint32_t granule = 1; heap->ready && region_known(granule); granule++)
    if (block_state(granule) == GRANULE_LIVE && heap_owns(heap, granule) &&
        region.table[granule].size >= LARGE)
      note_written(heap, granule);
  ring_end();
}

int patalloc_process_recording(int on) {
  if (on) pycalls_expect();
  return ring_switch(on);
}

/* Requests */

void *recorded_malloc(struct patalloc_heap *heap, size_t size) {
  void *pointer = patalloc_malloc(heap, size);
  note_taken(heap, RING_MALLOC, pointer, size);
  return pointer;
}

void *recorded_calloc(struct patalloc_heap *heap, size_t count, size_t size) {
  void *pointer = patalloc_calloc(heap, count, size);
  note_taken(heap, RING_CALLOC, pointer, count * size);
  return pointer;
}

void *recorded_aligned(struct patalloc_heap *heap, size_t alignment, size_t size) {
  void *pointer = patalloc_aligned_alloc(heap, alignment, size);
  if (!pointer) return NULL;
  uint64_t log = (uint64_t)__builtin_ctzl(alignment) & 31;
  note_taken(heap, RING_ALIGNED | log << (RING_ALIGNMENT_SHIFT - RING_KIND_SHIFT), pointer, size);
  return pointer;
}

void recorded_free(struct patalloc_heap *heap, void *pointer) {
  if (pointer && ring_enter()) {
    note_taking(heap, pointer);
    note(RING_FREE, pointer, 0, 0);
  }
  patalloc_free(heap, pointer);
}

void *recorded_realloc(struct patalloc_heap *heap, void *pointer, size_t size) {
  if (!pointer) return recorded_malloc(heap, size);
  bool records = ring_enter();
  if (records && !size) note_taking(heap, pointer);
  if (records) note(RING_RESIZE, pointer, size, 0);
  void *resized = patalloc_realloc(heap, pointer, size);
  if (!records || !ring_enter()) return resized;
  int error = errno;
  note(RING_RESIZED, resized, size, take_stack(heap));
  errno = error;
  return resized;
}
