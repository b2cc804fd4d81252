/* Looking at all blocks (see check.h). */
#include "heap/check.h"

#include "base/lock.h"
#include "blocks/arena.h"
#include "heap/altered.h"
#include "heap/careful.h"
#include "heap/guarded.h"
#include "heap/heap.h"
#include "heap/held.h"
#include "patalloc.h"
#include "watch/fault.h"
#include "watch/hunt.h"
#include "watch/ledger.h"
#include "watch/program.h"
#include "watch/recover.h"
#include "watch/slack.h"

#include <string.h>

struct search {
  const char *call;
  report_tell *tell;
  struct event event;              /* without its stack: nobody's call has led here */
  const struct small_block *block; /* that is looked at */
  bool found, past;                /* past: the program frees blocks past the heap */
};

/* Large blocks: their records are read without locks, and once more if something is found, as the
 * block may have been freed meanwhile, or have another size. */

static bool is_there(uint32_t granule, const struct granule *as) {
  const struct granule *now = &region.table[granule];
  return block_state(granule) == GRANULE_LIVE && now->size == as->size &&
         now->offset == as->offset && now->run == as->run;
}

static bool is_overwritten(uint32_t granule, enum slack_side side, struct search *search) {
  struct granule before;
  memcpy(&before, &region.table[granule], sizeof before);
  for (int look = 0; look < 2; look++)
    if (!is_there(granule, &before) || altered_is(granule) ||
        !slack_find(search->call, granule, side, &search->event))
      return false;
  return is_there(granule, &before);
}

/* A block whose memory the program has unmapped is no reason to die. */
static void look_at_large(void *context) {
  struct search *search = context;
  for (uint32_t granule = 1; region_known(granule); granule++)
    for (int side = 0; side < SLACK_SIDES; side++)
      if (block_state(granule) == GRANULE_LIVE && is_overwritten(granule, side, search))
        search->tell(&search->event);
}

/* Small ones */

/* With the ledger's lock, which a fault must not leave behind. */
static void look_at_one(void *context) {
  struct search *search = context;
  search->found = !search->block->held && careful_is_current(search->block) &&
                  slack_find_small(search->call, search->block, &search->event);
}

static bool is_wrong(void *context, struct small_block *block) {
  struct search *search = context;
  search->block = block;
  search->found = false;
  recover_try(look_at_one, search);
  if (search->found && !search->past) search->past = program_frees_past();
  search->found = search->found && !search->past; /* else it may be nobody's by now */
  if (search->found) block->around = 0;           /* told once */
  return search->found;
}

static void look_at_small(struct search *search) {
  struct ledger_place place = {0};
  while (ledger_search(&place, is_wrong, search)) search->tell(&search->event);
}

void check_all(const char *call, report_tell *tell) {
  static struct search search;
  static struct lock once;
  if (!lock_try(&once)) return;
  search = (struct search){.call = call, .tell = tell};
  hunt_end();
  if (report_is_wanted()) {
    recover_try(look_at_large, &search);
    look_at_small(&search);
    held_look(call, tell);
  }
  guarded_look(call, tell, report_is_wanted());
  lock_drop(&once);
}

static const struct watch *told;
static size_t errors;

static void tell_as_error(const struct event *event) {
  errors++;
  report_found(told, event);
}

static void check_for(struct patalloc_heap *heap, const char *call) {
  if (report_is_wanted()) fault_watch(false);
  told = &heap->watch;
  errors = 0;
  check_all(call, tell_as_error);
  if (errors) report_stop(told);
}

void check_at_exit(struct patalloc_heap *heap) {
  report_last_look = NULL; /* this is it */
  check_for(heap, "exit");
}

size_t patalloc_check(patalloc_heap *heap) {
  static struct lock once;
  lock_take(&once);
  check_for(heap, "patalloc_check");
  size_t found = errors;
  lock_drop(&once);
  return found;
}
