/* Held blocks (see held.h): rings for blocks of up to so many bytes, each of a mebibyte at most. */
#include "heap/held.h"

#include "heap/primary.h"
#include "pages/compare.h"
#include "watch/event.h"
#include "watch/report.h"

#include <stdatomic.h>
#include <stddef.h>

static const struct ring {
  uint32_t most, first, slots; /* bytes; in `slots` below */
} rings[] = {{1 << 10, 0, 1024}, {1 << 14, 1024, 64}, {1 << 17, 1088, 8}};
enum { RINGS = sizeof rings / sizeof *rings, SLOTS = 1096 };

static void *_Atomic slots[SLOTS];
static _Atomic uint32_t next[RINGS];
_Atomic bool held_used;

static bool is_written(const char *call, const struct small_block *block, struct event *event) {
  struct difference part;
  uintptr_t end = block->address + block->room;
  if (!block->fill || !compare_pattern(pattern_of(block->fill), block->address, end, &part))
    return false;
  event_of_small_written(event, call, block, part.from, part.end);
  return true;
}

/* What is reported was freed, and is not in the program's hands. */
static void look(const struct small_block *block, const struct watch *watch) {
  struct event event;
  if (is_written("free", block, &event)) report_error(watch, &event);
}

/* The ledger's lock keeps others from striking it out; it is filled before it comes into a slot. */

struct search {
  const char *call;
  int slot;
  struct event event;
};

static bool is_written_there(void *context, struct small_block *block) {
  struct search *search = context;
  bool found = block->held && is_written(search->call, block, &search->event) &&
               slots[search->slot] == (void *)block->address;
  if (found) block->fill = 0; /* told once */
  return found;
}

void held_look(const char *call, report_tell *tell) {
  static struct search search; /* one thread at a time looks */
  for (int i = 0; i < SLOTS; i++) {
    search.call = call;
    search.slot = i;
    if (slots[i] && ledger_look(slots[i], is_written_there, &search)) tell(&search.event);
  }
}

static size_t let_go(void *pointer, const struct watch *watch) {
  struct small_block block = {0};
  if (ledger_strike(pointer, &block)) look(&block, watch);
  primary.free(pointer);
  return block.room;
}

void held_add(const struct small_block *block, const struct watch *watch) {
  void *out = (void *)block->address;
  int i = 0;
  while (i < RINGS && block->room > rings[i].most) i++;
  held_used = true;
  if (i < RINGS) out = atomic_exchange(&slots[rings[i].first + next[i]++ % rings[i].slots], out);
  if (out) let_go(out, watch);
}

size_t held_drain_all(const struct watch *watch) {
  size_t bytes = 0;
  for (int i = 0; i < SLOTS; i++) {
    void *out = atomic_exchange(&slots[i], NULL);
    if (out) bytes += let_go(out, watch);
  }
  return bytes;
}
