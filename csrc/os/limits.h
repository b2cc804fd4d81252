/* How much of something the machine and the user allow (os.h says what holds for all functions). */
#ifndef PATALLOC_LIMITS_H
#define PATALLOC_LIMITS_H

#include "os/os.h"

size_t os_max_map_count(void);       /* VMAs that a process may have */
size_t os_physical_memory(void);     /* bytes; 0 where that can't be told */
size_t os_address_space_limit(void); /* RLIMIT_AS or RLIMIT_DATA; SIZE_MAX where unlimited */
size_t os_file_size_limit(void);     /* RLIMIT_FSIZE; past it a signal ends the process */
RARE size_t
os_available_memory(void); /* bytes that can be written without swapping or an OOM kill */
size_t os_huge_page(void); /* bytes in one; 0 where there are none for the asking */

#endif
