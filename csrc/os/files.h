/* Descriptors and files (os.h says what holds for all functions). */
#ifndef PATALLOC_FILES_H
#define PATALLOC_FILES_H

#include "os/os.h"

/* Which file a descriptor is for, so that one whose number the program has reused is known. */
struct os_identity {
  uint64_t device, inode;
};
bool os_identify(int descriptor, struct os_identity *identity, size_t *size);
RARE bool os_is(int descriptor,
                const struct os_identity *identity); /* EBADF where it is another file */
RARE int os_duplicate_descriptor(int descriptor);    /* above those that programs use; -1 */
RARE int os_hide_descriptor(int descriptor);         /* moves it there */
void os_close(int descriptor);

/* Files that refpages are made of. */
int os_memfd(const char *name);
/* Of one page, which private mappings repeat without an end. */
RARE int os_memfd_wrap(const char *name);
bool os_resize(int descriptor, size_t size);
bool os_fill(int descriptor, const void *page, size_t size); /* writes `page` over and over */
RARE bool os_write_at(int descriptor, const void *data, size_t size, size_t offset);
bool os_seal(int descriptor);
RARE bool os_allocate(int descriptor, size_t size); /* so long, with room for it (fallocate(2)) */
RARE bool os_hold(int descriptor); /* a shared lock of it (flock(2)), for as long as it is open, or
                                      mapped */
RARE int os_read_only(int descriptor); /* a read-only twin where /proc allows, else `descriptor` */
RARE int os_refpage_syscall(long number, const void *content, unsigned size, unsigned long flags);
RARE int os_refpage_device(const void *content, unsigned size, unsigned long flags);
int os_open_refpage_device(void);

/* Files by path. */
int os_create_file(const char *path);
RARE int os_append_file(const char *path);        /* made if need be */
RARE int os_create_shared_file(const char *path); /* for os_map_shared */
RARE int os_open_shared_file(const char *path);   /* one that is there */
RARE int os_open_file(const char *path);          /* to read */

RARE void os_write(int descriptor, const char *text, size_t length); /* all of it, or gives up */
RARE bool os_is_terminal(int descriptor);
size_t os_read_file(const char *path, char *text, size_t capacity); /* NUL-ended; 0 on failure */
RARE bool os_copy_text(const char *path, int descriptor);           /* to there, to its end */
/* NUL-ended; empty on failure. */
RARE void os_read_link(const char *path, char *text, size_t capacity);
/* Calls `each` for every line, without its end; of one longer than the buffer for what fits. */
RARE bool os_each_line(const char *path, char *buffer, size_t capacity,
                       void (*each)(void *context, const char *line), void *context);

#endif
