/* Tables that grow (see table.h). */
#include "pages/table.h"

#include "os/memory.h"

#include <errno.h>

static char *end_of(const struct table *table, uint32_t count) {
  return (char *)page_up((uintptr_t)table->start + (size_t)count * table->record);
}

/* By half of what there is, so that steps are few. They need not be whole pages: the page that two
 * share comes with the first. */
static bool grow(struct table *table, uint32_t index) {
  uint32_t usable = table->usable, left = table->most - usable;
  if (index < usable) return true; /* another thread's doing */
  if (index >= table->most) return errno = ENOMEM, false;
  uint32_t wanted = index - usable + 1, count = usable / 2;
  if (count < table->step) count = table->step;
  if (count < wanted) count = wanted;
  if (count > left) count = left;
  char *from = end_of(table, usable), *to = end_of(table, usable + count);
  bool done = from == to || (table->reserved ? os_commit : os_map_at)((uintptr_t)from, to - from);
  if (done) atomic_store_explicit(&table->usable, usable + count, memory_order_release);
  return done;
}

bool table_reach(struct table *table, uint32_t index) {
  if (table_has(table, index)) return true;
  lock_take(&table->lock);
  bool done = grow(table, index);
  lock_drop(&table->lock);
  return done;
}
