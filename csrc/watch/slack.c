/* Slack (see slack.h). */
#include "watch/slack.h"

#include "blocks/arena.h"
#include "watch/event.h"
#include "watch/report.h"

/* The first byte from which on less than a word is left, or the pattern is not all that is there.
 */
static uintptr_t skip_words(uint64_t word, uintptr_t from, uintptr_t end) {
  uintptr_t at = from;
  while (at < end && at & 7 && *(const unsigned char *)at == ((const unsigned char *)&word)[at & 7])
    at++;
  while (!(at & 7) && end - at >= 8 && *(const uint64_t *)at == word) at += 8;
  return at;
}

bool slack_find(struct pattern pattern, uintptr_t from, uintptr_t end, struct slack_part *part) {
  const unsigned char *bytes = (const unsigned char *)&pattern.word;
  *part = (struct slack_part){0, 0};
  for (uintptr_t at = skip_words(pattern.word, from, end); at < end; at++) {
    if (*(const unsigned char *)at == bytes[at & 7]) continue;
    if (!part->end) part->from = at;
    part->end = at + 1;
  }
  return part->end;
}

static void check_part(const struct watch *watch, const char *call, uint32_t granule,
                       struct pattern pattern, uintptr_t from, uintptr_t end) {
  struct slack_part part;
  struct event event;
  if (!slack_find(pattern, from, end, &part)) return;
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
  struct slack_part part;
  struct event event;
  if (!slack_find(pattern, from, end, &part)) return;
  event_of_small_overwrite(&event, call, block, part.from, part.end);
  report_error(watch, &event);
}
