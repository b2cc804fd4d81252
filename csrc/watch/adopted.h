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

#endif
