/* History (see history.h). The table grows as granules are handed out. */
#include "watch/history.h"

#include "os/memory.h"
#include "os/process.h"
#include "watch/note.h"
#include "watch/stack.h"

static struct lock once; /* held while its place is found */
struct table history_records;
uint32_t history_began;

static bool place_table(void) {
  enum { STEP = 1 << 10 };
  lock_take(&once);
  if (!history_records.start)
    region_place_table(TABLE_HISTORY, &history_records, sizeof(struct history),
                       region_size() >> region.shift, STEP);
  lock_drop(&once);
  return history_records.start;
}

static struct history *record_at(uint32_t granule) {
  return &((struct history *)history_records.start)[granule];
}

static struct history *record_of(uint32_t granule) {
  bool has = table_has(&history_records, granule) ||
             (place_table() && table_reach(&history_records, granule));
  return has ? record_at(granule) : NULL;
}

struct moment history_now(const struct options *options) {
  return (struct moment){stack_record(options), os_thread_id_known(), os_milliseconds(),
                         note_now()};
}

void history_note_allocated(const struct options *options, uint32_t granule) {
  struct history *record = record_of(granule);
  const struct granule *block = &region.table[granule];
  struct moment now = history_now(options);
  if (record) *record = (struct history){block->size, block->offset, .allocated = now};
}

void history_note_freed(const struct options *options, uint32_t granule) {
  struct history *record = record_of(granule);
  if (record) record->freed = history_now(options);
}

bool history_exchange_origin(uint32_t granule, uint8_t origin, uint8_t *before) {
  if (!table_has(&history_records, granule) || !record_at(granule)->size) return false;
  *before = record_at(granule)->origin;
  record_at(granule)->origin = origin;
  return true;
}

bool history_get(uint32_t granule, struct history *history) {
  bool known = table_has(&history_records, granule) && record_at(granule)->size;
  if (known) *history = *record_at(granule);
  return known;
}

/* As far back as the largest block that is worth the search. */
uint32_t history_find(uintptr_t address) {
  enum { MOST = 1 << 20 };
  uint32_t granule = granule_of(address), left = MOST;
  for (; granule && left--; granule--) {
    if (!table_has(&history_records, granule) || !record_at(granule)->freed.thread) continue;
    const struct history *record = record_at(granule);
    if (address - granule_address(granule) - record->offset < record->size) return granule;
  }
  return 0;
}

void history_lock(void) {
  lock_take(&once);
  lock_take(&history_records.lock);
}

void history_unlock(void) {
  lock_drop(&history_records.lock);
  lock_drop(&once);
}
