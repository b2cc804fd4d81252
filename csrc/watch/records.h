/* Records: all that is known of blocks and call stacks, as a debugger reads it, out of a process or
 * a core dump. A note (elf(5)) in the library tells where it is. The process that reads makes it
 * its own, and then asks this floor what that one would have answered (adopted.h). */
#ifndef PATALLOC_RECORDS_H
#define PATALLOC_RECORDS_H

#include "os/os.h"

/* A variable; what is without an address is a size that the two have to agree on. */
struct record {
  const void *at;
  uint64_t size; /* bytes */
};

enum { RECORDS = 14 };
struct records {
  char version[24]; /* of the variables, and of what they lead to */
  struct record list[RECORDS];
  struct record said; /* the last report, as text; empty: none */
};
extern const struct records records;

#endif
