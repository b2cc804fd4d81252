/* Slack (see slack.h). */
#include "watch/slack.h"

#include "blocks/arena.h"
#include "pages/compare.h"
#include "watch/event.h"
#include "watch/report.h"

/* Before the block is what its arena keeps in pages; after it what was asked for with it. */
bool slack_find(const char *call, uint32_t granule, enum slack_side side, struct event *event) {
  const struct arena *arena = block_arena(granule);
  const struct pattern zero = {0, 1};
  enum block_fill fill = region.table[granule].fill;
  if (!arena || fill == BLOCK_UNPATTERNED || !slack_checks(arena->options, SLACK_LARGE))
    return false;
  uintptr_t from = block_pages(granule), end = block_address(granule);
  struct pattern pattern = arena->content;
  if (side == SLACK_AFTER) {
    from = end + region.table[granule].size;
    end = block_end(granule);
    pattern = fill == BLOCK_ZERO ? zero : arena->pattern;
  }
  struct difference part;
  bool found = compare_pattern(pattern, from, end, &part);
  if (found) event_of_overwrite(event, call, granule, part.from, part.end);
  return found;
}

void slack_check_block(const struct watch *watch, const char *call, uint32_t granule) {
  struct event event;
  for (int side = 0; side < SLACK_SIDES; side++)
    if (slack_find(call, granule, side, &event)) report_error(watch, &event);
}

bool slack_find_small(const char *call, const struct small_block *block, struct event *event) {
  uintptr_t from = block->address + block->size, end = block->address + block->room;
  struct difference part;
  bool found = block->around && compare_pattern(pattern_of(block->around), from, end, &part);
  if (found) event_of_small_overwrite(event, call, block, part.from, part.end);
  return found;
}

/* It is told once. */
static bool forget_around(void *unused, struct small_block *block) {
  (void)unused;
  block->around = 0;
  return true;
}

void slack_check_small(const struct watch *watch, const char *call,
                       const struct small_block *block) {
  struct event event;
  if (!slack_find_small(call, block, &event)) return;
  ledger_look((void *)block->address, forget_around, NULL);
  report_error(watch, &event);
}
