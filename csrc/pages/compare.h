/* Looking for what was written over a pattern. */
#ifndef PATALLOC_COMPARE_H
#define PATALLOC_COMPARE_H

#include "base/option.h"

struct difference {
  uintptr_t from, end;
};

/* Of [from, end) the part from the first byte to the last that is not the pattern's, as
 * fill_pattern has it. False for none. */
bool compare_pattern(struct pattern pattern, uintptr_t from, uintptr_t end,
                     struct difference *part);

/* A pattern's number, from 1, for records: 0 for none, or where too many have one. */
uint8_t pattern_number(struct pattern pattern);
struct pattern pattern_of(uint8_t number);

#endif
