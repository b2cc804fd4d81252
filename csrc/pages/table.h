/* Tables of records that grow from their start on, as records are needed. They lie apart from
 * blocks, at a place of their own (region.h chooses it), and take no more address space than is in
 * use. */
#ifndef PATALLOC_TABLE_H
#define PATALLOC_TABLE_H

#include "base/lock.h"
#include "os/os.h"

struct table {
  char *start;
  uint32_t record, most, step; /* bytes in a record; how many there may be, and come at least */
  bool reserved;               /* whether the address space is reserved in advance */
  struct lock lock;            /* held while it grows, system calls included */
  _Atomic uint32_t usable;     /* records that can be read and written */
};

/* Whether the record can be used already. Async-signal-safe. */
static inline bool table_has(const struct table *table, uint32_t index) {
  return index < atomic_load_explicit(&table->usable, memory_order_acquire);
}

/* Makes it usable, zeroed. False with ENOMEM where there is no memory or no such record. Any
 * threads may do so at the same time. */
bool table_reach(struct table *table, uint32_t index);

#endif
