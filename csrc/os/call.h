/* What the files of this floor share, and nothing above includes but tests of calls that fail. */
#ifndef PATALLOC_CALL_H
#define PATALLOC_CALL_H

#include "os/os.h"

#include <errno.h>

/* Newer than the oldest C library that this builds with (madvise(2), mremap(2)). */
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4 /* Linux 5.7; file mappings 5.13 */
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13; file mappings 6.15 */
#define MADV_GUARD_REMOVE  103
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#ifndef PROT_MTE
#define PROT_MTE 0x20 /* Linux 5.10, arm64 */
#endif

/* Whether a test has the call named so fail, with errno: in test builds os_fault is asked before
 * each one, and a non-zero answer is the errno. */
#ifdef PATALLOC_FAULTS
extern int (*os_fault)(const char *call);
bool os_refuses(const char *call);
#else
#define os_refuses(call) false
#endif

struct os_range;

/* madvise(2), and the same of many ranges by one call (process_madvise(2), Linux 6.15). */
bool os_advise(uintptr_t address, size_t size, int advice);
bool os_advise_all(const struct os_range *ranges, unsigned count, int advice);

/* open(2), O_CLOEXEC set. */
int os_open_with(const char *path, int flags);

#endif
