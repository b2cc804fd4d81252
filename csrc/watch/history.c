/* History (see history.h). The table lies in reserved address space that becomes usable from its
 * start on, as granules are handed out from theirs. */
#include "watch/history.h"

#include "os/memory.h"
#include "os/process.h"
#include "watch/stack.h"

static struct history *_Atomic table;
static _Atomic uint32_t usable; /* records that can be read and written */

static struct history *reserve_records(void) {
  size_t size = page_up((region_size() >> region.shift) * sizeof(struct history));
  struct history *reserved = os_reserve(size), *other = NULL;
  if (!reserved || atomic_compare_exchange_strong(&table, &other, reserved)) return reserved;
  os_unmap(reserved, size);
  return other;
}

/* Two threads may do the same twice. */
static bool commit_history(struct history *records, uint32_t granule) {
  enum { STEP = 1 << 13 };
  uint32_t from = usable, limit = (uint32_t)(region_size() >> region.shift);
  uint32_t to = granule < limit - STEP ? granule + STEP : limit;
  uintptr_t start = page_down((uintptr_t)(records + from));
  if (granule < from) return true;
  if (!os_commit(start, page_up((uintptr_t)(records + to)) - start)) return false;
  while (from < to && !atomic_compare_exchange_weak(&usable, &from, to)) {
  }
  return true;
}

static struct history *record_of(uint32_t granule) {
  struct history *records = table ? table : reserve_records();
  return records && (granule < usable || commit_history(records, granule)) ? &records[granule]
                                                                           : NULL;
}

static struct moment now(const struct options *options) {
  return (struct moment){stack_record(options), os_thread_id(), os_milliseconds()};
}

void history_note_allocated(const struct options *options, uint32_t granule) {
  struct history *record = record_of(granule);
  const struct granule *block = &region.table[granule];
  if (record) *record = (struct history){block->size, block->offset, now(options), {0}};
}

void history_note_freed(const struct options *options, uint32_t granule) {
  struct history *record = record_of(granule);
  if (record) record->freed = now(options);
}

bool history_get(uint32_t granule, struct history *history) {
  bool known = granule < usable && table[granule].size;
  if (known) *history = table[granule];
  return known;
}

/* As far back as the largest block that is worth the search. */
uint32_t history_find(uintptr_t address) {
  enum { MOST = 1 << 20 };
  uint32_t granule = granule_of(address), left = MOST;
  for (; granule && left--; granule--) {
    if (granule >= usable || !table[granule].freed.thread) continue;
    if (address - granule_address(granule) - table[granule].offset < table[granule].size)
      return granule;
  }
  return 0;
}
