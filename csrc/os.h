/* The kernel boundary: every system call that the allocator makes, and every probe of a kernel
 * feature, is behind these functions. Nothing above includes <sys/mman.h>.
 *
 * Functions return false (or NULL, -1) with errno set where the kernel refuses; none of them
 * allocates, takes a lock or calls stdio, so all are async-signal-safe and fork-safe. */
#ifndef PATALLOC_OS_H
#define PATALLOC_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a function that most processes never run: it goes where what reports need is (layout.ld). */
#define RARE __attribute__((cold))

extern size_t os_page;         /* bytes in a page */
extern unsigned os_page_shift; /* log2 of it */

/* Sets the page size. Idempotent; to be called before anything else here. */
void os_init(void);

static inline uintptr_t page_down(uintptr_t address) {
  return address & ~(os_page - 1);
}
static inline uintptr_t page_up(uintptr_t address) {
  return page_down(address + os_page - 1);
}

/* Bytes that one page of page table entries covers. */
static inline size_t os_page_table(void) {
  return os_page / sizeof(uint64_t) * os_page;
}

/* Address space. `address` and `size` are whole pages. */
void *os_reserve(size_t size);                  /* inaccessible, costs nothing */
void *os_map(size_t size);                      /* zero pages anywhere: metadata */
void os_unmap(void *address, size_t size);      /* of a whole os_reserve or os_map */
bool os_commit(uintptr_t address, size_t size); /* reserved metadata becomes writable */
bool os_map_zero(uintptr_t address, size_t size, bool tagged); /* zero pages over reserved ones */
/* Private, from offset 0; or at a place of its own. */
bool os_map_private(uintptr_t address, size_t size, int descriptor, bool tagged);
void *os_map_template(size_t size, int descriptor, bool tagged);
bool os_duplicate(void *template_, uintptr_t address, size_t size);
bool os_move_pages(uintptr_t from, uintptr_t to, size_t size); /* `from` stays mapped, reset */
bool os_release(uintptr_t address, size_t size);               /* back to reserved */
bool os_reset(uintptr_t address, size_t size);        /* drop private copies; not of locked pages */
bool os_reset_locked(uintptr_t address, size_t size); /* of locked ones too */

/* Many ranges by one call. On failure some may have been done: each must be done again. */
struct os_range {
  uintptr_t start;
  size_t size;
};
enum { OS_RANGES_MOST = 17 };
bool os_reset_all(const struct os_range *ranges, unsigned count);
bool os_guard_install_all(const struct os_range *ranges, unsigned count);

/* Hints: a page fault for each page is saved by making all of them at once, or by larger pages. */
bool os_populate(uintptr_t address, size_t size); /* as if every page were written */
bool os_use_huge_pages(uintptr_t address, size_t size);
size_t os_huge_page(void); /* bytes in one; 0 where there are none for the asking */

/* Guards: as markers in the page table (no VMA is split), or as page protection. */
bool os_guard_install(uintptr_t address, size_t size);
bool os_guard_remove(uintptr_t address, size_t size);
bool os_protect(uintptr_t address, size_t size, bool accessible);

/* Descriptors. */
struct os_identity {
  uint64_t device, inode;
};
int os_memfd(const char *name);
bool os_fill(int descriptor, const void *page, size_t size); /* writes `page` over and over */
bool os_write_at(int descriptor, const void *data, size_t size, size_t offset);
RARE bool os_tag_file(int descriptor, size_t size,
                      unsigned tag); /* a memfd; tags all of its pages */
bool os_seal(int descriptor);
int os_read_only(int descriptor);       /* a read-only twin where /proc allows, else `descriptor` */
int os_hide_descriptor(int descriptor); /* moves it above those that programs use */
bool os_identify(int descriptor, struct os_identity *identity, size_t *size);
bool os_is(int descriptor, const struct os_identity *identity); /* EBADF where it is another file */
int os_refpage_syscall(long number, const void *content, unsigned size, unsigned long flags);
int os_refpage_device(const void *content, unsigned size, unsigned long flags);
RARE int os_uffd_open(void); /* a userfaultfd(2) that the kernel's own accesses are served by too */
RARE bool os_uffd_watch(int descriptor, uintptr_t address, size_t size);
RARE bool os_uffd_serve(int descriptor,
                        const void *page); /* waits for a fault, and copies the page there */
void os_close(int descriptor);
void os_write(int descriptor, const char *text, size_t length); /* all of it, or gives up */
RARE bool os_is_terminal(int descriptor);
int os_create_file(const char *path);
RARE int os_append_file(const char *path);        /* made if need be */
RARE int os_create_shared_file(const char *path); /* for os_map_shared */
RARE int os_open_file(const char *path);          /* to read */
RARE void os_read_link(const char *path, char *text,
                       size_t capacity); /* NUL-ended; empty on failure */
/* Maps a file, made so long. Over `before`, if that is not NULL: the file gets its first `used`
 * bytes. */
RARE void *os_map_shared(int descriptor, size_t size, const void *before, size_t used);
RARE const void *os_map_file(int descriptor, size_t *size); /* to read; NULL for an empty one too */
/* Calls `each` for every line, without its end; of one longer than the buffer for what fits. */
RARE bool os_each_line(const char *path, char *buffer, size_t capacity,
                       void (*each)(void *context, const char *line), void *context);
size_t os_read_file(const char *path, char *text, size_t capacity); /* NUL-ended; 0 on failure */

/* Calls `each` for every range of pages that were written since they were mapped or reset, in
 * order. False where that can't be told. With `scan` by ioctl(PAGEMAP_SCAN), which takes a page of
 * a kernel's refpage that was only read for a written one, else by the entries of
 * /proc/self/pagemap, which miss what was written before a fork. */
typedef void os_range_function(void *context, uintptr_t from, uintptr_t to);
bool os_dirty_ranges(uintptr_t address, size_t size, bool scan, os_range_function *each,
                     void *context);

/* How accesses of this thread, and of threads that it makes from then on, are checked against
 * memory tags (prctl(2), PR_SET_TAGGED_ADDR_CTRL); asymm leaves it to the processor's preferred
 * mode. Also lets system calls take tagged pointers. */
enum os_tag_checks { OS_CHECK_SYNC, OS_CHECK_ASYNC, OS_CHECK_ASYMM };
RARE bool os_check_tags(enum os_tag_checks checks);

void os_yield(void);

/* Sleeps while the word has this value (it may return early); wakes one that sleeps on it. */
void os_wait(_Atomic uint32_t *word, uint32_t value);
void os_wake(_Atomic uint32_t *word);

uint32_t os_milliseconds(void);      /* a monotonic clock that wraps */
size_t os_max_map_count(void);       /* VMAs that a process may have */
size_t os_physical_memory(void);     /* bytes */
size_t os_address_space_limit(void); /* RLIMIT_AS in bytes, SIZE_MAX where unlimited */
size_t os_available_memory(void);    /* bytes that can be written without swapping or an OOM kill */
bool os_secure(void);                /* AT_SECURE: the environment is not to be trusted */
int os_process_id(void);
uint32_t os_thread_id(void);
enum { OS_NAME = 16 };
RARE void os_thread_name(char name[OS_NAME]); /* of this thread; empty where that can't be told */

/* Kernel features, each probed by trying it once, when first asked for. */
enum os_feature {
  OS_MEMFD,
  OS_MREMAP_DONTUNMAP,
  OS_GUARD_REGIONS,
  OS_DONTNEED_LOCKED,
  OS_PROCESS_MADVISE,
  OS_PAGEMAP_SCAN,
  OS_PROC,
  OS_POPULATE,
  OS_HUGE_PAGES,
  OS_DEVICE,
  OS_USERFAULTFD,
  OS_MTE,
  OS_TAG_REFPAGES,
  OS_FEATURES,
};
struct os_feature_text {
  const char *name, *since, *purpose, *fallback;
};
extern const struct os_feature_text os_feature_texts[OS_FEATURES];
bool os_has(enum os_feature feature);

#ifdef PATALLOC_FAULTS
/* Test builds: asked before each call named `call`; a non-zero answer is the errno it fails with.
 */
extern int (*os_fault)(const char *call);
#endif

#endif
