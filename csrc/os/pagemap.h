/* Which pages were written (os.h says what holds for all functions). */
#ifndef PATALLOC_PAGEMAP_H
#define PATALLOC_PAGEMAP_H

#include "os/os.h"

/* Calls `each` for every range of pages that were written since they were mapped or reset, in
 * order. False where that can't be told. With `scan` by ioctl(PAGEMAP_SCAN), which takes a page of
 * a kernel's refpage that was only read for a written one, else by the entries of
 * /proc/self/pagemap, which miss what was written before a fork. */
typedef void os_range_function(void *context, uintptr_t from, uintptr_t to);
bool os_dirty_ranges(uintptr_t address, size_t size, bool scan, os_range_function *each,
                     void *context);

/* The same for those in huge pages, of the process whose /proc/PID/pagemap the descriptor is. Not
 * all kernels can tell the huge page of zeros from others. False before Linux 6.7, where none can.
 */
RARE bool os_huge_ranges(int pagemap, uintptr_t address, size_t size, os_range_function *each,
                         void *context);

#endif
