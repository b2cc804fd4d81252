/* Address space and the pages in it (os.h says what holds for all functions). */
#ifndef PATALLOC_MEMORY_H
#define PATALLOC_MEMORY_H

#include "os/os.h"

/* Reserved address space is inaccessible and costs nothing. Metadata is zero pages anywhere. */
void *os_reserve(size_t size);
void *os_map(size_t size);
void os_unmap(void *address, size_t size);      /* of a whole os_reserve or os_map */
bool os_commit(uintptr_t address, size_t size); /* reserved metadata becomes writable */

/* A range of address space in which nothing else comes to lie, so that none of it need be reserved
 * in advance: neither the kernel nor other allocators choose addresses there. 0 for none. */
uintptr_t os_window(size_t *size);

/* Another one, in which a few programs do choose places, by hints: what is to lie there asks. */
RARE uintptr_t os_low_window(size_t *size);

/* At this place, if nothing lies there yet: EEXIST. Inaccessible; and zero pages. */
bool os_reserve_at(uintptr_t address, size_t size);
bool os_map_at(uintptr_t address, size_t size);

bool os_drop(uintptr_t address, size_t size); /* unmaps whatever lies there */

/* Over reserved address space: zero pages, or a file's, privately. */
bool os_map_zero(uintptr_t address, size_t size, bool tagged);
RARE void *os_map_tagged(size_t size); /* anonymous memory whose tags are checked */
bool os_map_private(uintptr_t address, size_t size, int descriptor, size_t offset, bool tagged);
bool os_release(uintptr_t address, size_t size); /* back to reserved */

/* A private mapping of a file, wherever, and duplicates of it while it is not written.
 * What a failed call has unmapped is reserved. */
void *os_map_template(size_t size, int descriptor, bool tagged);
bool os_duplicate(void *template_, uintptr_t address, size_t size);
bool os_move_pages(uintptr_t from, uintptr_t to, size_t size); /* `from` stays mapped, reset */

/* Moves a part of one mapping with all that is in its page tables to where nothing lies (EEXIST).
 * Nothing is mapped at its old place then. */
bool os_move(uintptr_t from, uintptr_t to, size_t size);
bool os_move_over(uintptr_t from, uintptr_t to, size_t size); /* to whatever lies there */

/* Maps a file, made so long. Over `before`, if that is not NULL: the file gets its first `used`
 * bytes. */
RARE void *os_map_shared(int descriptor, size_t size, const void *before, size_t used);
/* In memory, so that nobody changes it; NULL for an empty one too. */
RARE void *os_copy_file(int descriptor, size_t *size);

bool os_reset(uintptr_t address, size_t size);        /* drop private copies; not of locked pages */
bool os_reset_locked(uintptr_t address, size_t size); /* of locked ones too */

/* Many ranges by one call. On failure some may have been done: each must be done again. */
struct os_range {
  uintptr_t start;
  size_t size;
};
enum { OS_RANGES_MOST = 17 };
bool os_reset_all(const struct os_range *ranges, unsigned count);

/* What becomes of memory that is mapped from here on, as mlockall(2) was told: the kernel locks all
 * but what is duplicated or moved, which these functions lock then. False where too much would be
 * locked (RLIMIT_MEMLOCK). */
enum os_locking { OS_LOCKS_NOTHING, OS_LOCKS_WHAT_IS_THERE, OS_LOCKS_ALL };
RARE void os_set_locking(enum os_locking locking);
enum os_locking os_locking(void);

/* Whether something is mapped there that can be read, asked without a fault. */
bool os_is_readable(uintptr_t address);

/* Leaves memory out of core dumps (madvise(2), MADV_DONTDUMP), if the kernel can. */
RARE void os_leave_out_of_dumps(void *address, size_t size);
RARE void os_have_in_dumps(void *address, size_t size); /* again */

/* A forked child, however it was made, finds zeros there (Linux 4.14). */
RARE bool os_wipe_on_fork(uintptr_t address, size_t size);

/* Hints: a page fault for each page is saved by making all of them at once, or by larger pages. */
bool os_populate(uintptr_t address, size_t size); /* as if every page were written */
bool os_populate_all(const struct os_range *ranges, unsigned count);
bool os_use_huge_pages(uintptr_t address, size_t size);

#endif
