/* Another process's records (records.h), made this one's own: a variable each, and then the tables
 * that they lead to, at the addresses that they had. For a process that has no heap, and does this
 * once. What it reads may be damaged, or change while it is read. */
#ifndef PATALLOC_ADOPTED_H
#define PATALLOC_ADOPTED_H

#include "watch/records.h"

#include <stdbool.h>

/* The range of one more table, in order, once all before it are there: of no bytes, if it is not in
 * use. 1 for one; 0 for no more; -1 with EINVAL where the records can't be right. */
int adopted_table(unsigned number, struct record *table);

/* Makes memory of it, for what is read. False with errno, EEXIST where something else is there. */
bool adopted_map(const struct record *table);

/* What is known of an address, as JSON: its place, and the block's members of an event. Returns the
 * length. */
size_t adopted_describe(uintptr_t address, char *json, size_t capacity);

/* A block in whole pages, live or freed; its state and fill are those of its granule (region.h),
 * and the stack the number of that which allocated it, 0 for none. */
struct adopted_block {
  uint64_t address, size, first, end; /* pages: from, to behind */
  uint32_t state, fill, stack, since; /* milliseconds from the program's begin to its allocation */
};

/* The next ones in the order of addresses, from a granule on, which goes past them; 0 for no more.
 */
size_t adopted_blocks(uint32_t *granule, struct adopted_block *blocks, size_t most);

/* What /proc/PID/pagemap says of pages (Documentation/admin-guide/mm/pagemap.rst). A page of a
 * refpage's file that is mapped was read, or lies next to one that was: a fault on a file maps up
 * to 15 around it. */
enum adopted_page {
  PAGE_UNTOUCHED,
  PAGE_READ,
  PAGE_WRITTEN,
  PAGE_SWAPPED,
  PAGE_GUARD, /* Linux 6.15 tells */
  PAGE_HUGE,  /* in a huge page that was written in some place; Linux 6.7 tells */
  PAGE_KINDS
};
struct adopted_run {
  uint32_t page, count;
};

/* As runs of pages that are alike, of which there must be room for as many as pages; returns how
 * many, and counts the pages by kind. Of a block of zeros a page that is mapped elsewhere, too,
 * counts as read: it is the zero page, or was written before a fork whose child lives. */
size_t adopted_runs(const uint64_t *entries, size_t count, bool zeros, struct adopted_run *runs,
                    uint64_t counts[PAGE_KINDS]);

/* Marks those of such entries that are of huge pages, for adopted_runs. The descriptor is of
 * /proc/PID/pagemap, and the first one is of the page at that address. */
void adopted_mark_huge(int pagemap, uint64_t first, uint64_t *entries, size_t count);

/* Divides a block into so many parts: of each what is most of note in it (written, swapped, guard,
 * read), and how much of it that is, in 255ths. */
void adopted_parts(const struct adopted_run *runs, size_t count, unsigned parts, uint8_t *pages,
                   uint8_t *shares);

#endif
