/* Arm's memory tags, as the kernel has them (os.h says what holds for all functions; the
 * processor's instructions are in mte.h). */
#ifndef PATALLOC_TAGS_H
#define PATALLOC_TAGS_H

#include "base/option.h"
#include "os/mte.h"
#include "os/os.h"

RARE bool os_tag_file(int descriptor, size_t size, unsigned tag); /* a memfd; all of its pages */

/* How accesses of this thread, and of threads that it makes from then on, are checked against
 * memory tags (prctl(2), PR_SET_TAGGED_ADDR_CTRL). Also lets system calls take tagged pointers. */
RARE bool os_check_tags(enum tag_check check);

#endif
