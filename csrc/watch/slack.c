/* Slack (see slack.h). */
#include "watch/slack.h"

#include "blocks/arena.h"
#include "pages/compare.h"
#include "watch/event.h"
#include "watch/report.h"

static void check_part(const struct watch *watch, const char *call, uint32_t granule,
                       struct pattern pattern, uintptr_t from, uintptr_t end) {
  struct difference part;
  struct event event;
  if (!compare_pattern(pattern, from, end, &part)) return;
  event_of_overwrite(&event, call, granule, part.from, part.end);
  report_error(watch, &event);
}

/* Before the block is what its arena keeps in pages; after it what was asked for with it. */
void slack_check_block(const struct watch *watch, const char *call, uint32_t granule) {
  enum block_fill fill = region.table[granule].fill;
  uintptr_t address = block_address(granule);
  const struct pattern zero = {0, 1};
  if (fill == BLOCK_UNPATTERNED) return;
  check_part(watch, call, granule, block_arena(granule)->content, block_pages(granule), address);
  check_part(watch, call, granule, fill == BLOCK_ZERO ? zero : watch->options->pattern,
             address + region.table[granule].size, block_end(granule));
}

void slack_check_small(const struct watch *watch, const char *call,
                       const struct small_block *block) {
  struct pattern pattern = watch->options->pattern;
  uintptr_t from = block->address + block->size, end = block->address + block->room;
  struct difference part;
  struct event event;
  if (!compare_pattern(pattern, from, end, &part)) return;
  event_of_small_overwrite(&event, call, block, part.from, part.end);
  report_error(watch, &event);
}
