/* patalloc: a heap whose memory comes already filled with a pattern.
 *
 * Large blocks are private mappings of reference pages: they read as the pattern, and a page is
 * copied on the first store to it. Small requests go to the malloc underneath and are filled with
 * stores. Large blocks have inaccessible guard pages on both sides.
 *
 * Unless it says otherwise, every function is thread-safe, may be called after fork(2) in the
 * child, and must not be called from a signal handler. Sizes and addresses are in bytes. */
#ifndef PATALLOC_H
#define PATALLOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PATALLOC_API __attribute__((visibility("default")))

/* Reference pages: as proposed for Linux ("mm: introduce reference pages", linux-mm, v5, 2021) */

/* Makes a reference page: a descriptor whose private mappings read as `content` over and over.
 *
 *   content  `size` bytes, aligned to `size`
 *   size     a power of two, at most the page size
 *   flags    0
 *
 * Returns a descriptor with FD_CLOEXEC set, which can be neither written nor resized. On failure -1
 * with errno: EINVAL (size, alignment or flags), EFAULT (content can't be read), EFBIG
 * (RLIMIT_FSIZE), ENOMEM, EMFILE, ENFILE, or ENOSYS where the kernel has no memfd_create(2). Map it
 * with patalloc_refpage_map: on stock kernels it is a file of 2 MiB, and a longer mmap(2) would
 * fault past its end. Async-signal-safe. */
PATALLOC_API int patalloc_refpage_create(const void *content, unsigned size, unsigned long flags);

/* Maps `length` bytes privately from a reference page, at an address of the kernel's choosing.
 *
 * Returns the address, to be unmapped with munmap(2) and its whole length in pages; on failure NULL
 * with errno: EBADF, EINVAL (length 0 or too large, or a file that is no reference page), ENOMEM.
 * Async-signal-safe. */
PATALLOC_API void *patalloc_refpage_map(int descriptor, size_t length);

/* Heaps */

typedef struct patalloc_heap patalloc_heap;

/* Makes a heap.
 *
 *   options    "key=value:key=value", as in PATALLOC_OPTIONS; NULL for the defaults. The options
 *              stats and on_error work for heaps too; reserve counts for the first heap of a
 *              process only, as all heaps share one range of addresses. Where the machine has
 * memory tags, the option tag lets them be checked (prctl(2)) in each thread that allocates or
 *              frees, and sets a handler of SIGSEGV, once, with the first large block
 *   complaint  `capacity` bytes for one line about each bad option, NUL-terminated; may be NULL
 *
 * Returns the heap. On failure NULL with errno: EINVAL (bad options: see the complaint), ENOMEM. */
PATALLOC_API patalloc_heap *patalloc_heap_create(const char *options, char *complaint,
                                                 size_t capacity);

/* Changes options of a heap that is in use.
 *
 *   options    as patalloc_heap_create takes them: pattern (not to or from none), threshold, delay,
 *              small_fill, cache_size, retain_size, on_free, quarantine_size, quarantine_blocks,
 *              release_interval, stacks, on_error and count can be changed; others may be given as
 *              they are
 *   complaint  as there
 *
 * Returns 0. On failure -1 with errno EINVAL (an option is bad, or can't be changed any more: see
 * the complaint) or ENOMEM, and no option has changed. What was allocated before stays as it is. */
PATALLOC_API int patalloc_configure(patalloc_heap *heap, const char *options, char *complaint,
                                    size_t capacity);

/* Ends a heap: its large blocks are unmapped, whether they were freed or not. Small blocks are the
 * malloc's underneath, and stay. No other thread may be using the heap. */
PATALLOC_API void patalloc_heap_destroy(patalloc_heap *heap);

/* Allocates `size` bytes, all holding the heap's pattern.
 *
 * Returns an address aligned to 16 bytes; on failure NULL with errno ENOMEM. Size 0 is allowed and
 * gives an address of its own. */
PATALLOC_API void *patalloc_malloc(patalloc_heap *heap, size_t size);

/* As patalloc_malloc, for `count` times `size` bytes of zeros. */
PATALLOC_API void *patalloc_calloc(patalloc_heap *heap, size_t count, size_t size);

/* As patalloc_malloc, at a multiple of `alignment`, a power of two; EINVAL for another number. */
PATALLOC_API void *patalloc_aligned_alloc(patalloc_heap *heap, size_t alignment, size_t size);

/* Changes the size of a block, and moves it where need be. Content is kept up to the smaller size;
 * bytes past it hold the pattern (after patalloc_calloc too). NULL allocates. Size 0 frees a large
 * block and returns NULL; for small ones it is up to the malloc underneath.
 *
 * Returns the block's address; on failure NULL with errno ENOMEM, and the block is as it was. */
PATALLOC_API void *patalloc_realloc(patalloc_heap *heap, void *pointer, size_t size);

/* Frees a block; NULL is ignored. Keeps errno. An address that this heap has not handed out, or no
 * longer, is reported on standard error, and then the process is aborted unless on_error=continue.
 */
PATALLOC_API void patalloc_free(patalloc_heap *heap, void *pointer);

/* The bytes that can be used at `pointer`: to the end of a large block's last page, or with a
 * memory tag to the next multiple of 16. 0 for NULL. */
PATALLOC_API size_t patalloc_usable_size(patalloc_heap *heap, void *pointer);

/* Looks for what was written around blocks that are live, as far as slack_check has them looked at,
 * and to freed ones that wait; of all heaps of the process. What is found is reported, as an error
 * of this heap, and counted; then the process is aborted unless on_error=continue. Returns how many
 * were found. Any thread may call it; what other threads are at is left out. */
PATALLOC_API size_t patalloc_check(patalloc_heap *heap);

/* Unmaps what freed blocks have left mapped. Returns the bytes of address space released. */
PATALLOC_API size_t patalloc_release(patalloc_heap *heap);

/* How a block got its content. */
enum patalloc_fill {
  PATALLOC_FILL_REFPAGE,
  PATALLOC_FILL_MEMSET,
  PATALLOC_FILL_ZERO,   /* by calloc */
  PATALLOC_FILL_NONE,   /* pattern none */
  PATALLOC_FILL_FAILED, /* zero pages, as neither a refpage nor a memset was possible */
};

struct patalloc_block {
  uintptr_t address; /* as it was returned: with its tag */
  size_t size;       /* as requested */
  size_t usable_size;
  size_t guard_before, guard_after; /* bytes that are certain to be inaccessible */
  int64_t pages;                    /* that the block spans */
  int64_t dirty_pages; /* that were written, and so take memory; -1 where that can't be told */
  enum patalloc_fill fill;
  int tag; /* Arm memory tag, 0 to 15; -1 where blocks have none */
};

/* Describes the live large block in which `pointer` lies. Returns 0; -1 with errno ENOENT where
 * there is none in this heap. The block must not be freed or resized meanwhile. */
PATALLOC_API int patalloc_inspect(patalloc_heap *heap, const void *pointer,
                                  struct patalloc_block *block);

/* The bytes of large blocks' pages that the program has written: of the blocks that live, as it is
 * now, and of those that were freed while the option count was yes. So the difference of two calls,
 * with count=yes in between, is what was written meanwhile, wherever that was freed. Whole pages
 * count, each once a block; also those that the heap has written itself, to fill a block by stores,
 * to make pages that are usually written, or to keep them (on_free=retain). Not what realloc gives
 * up. Returns -1 where it can't be told. Blocks that other threads free or resize may be left out.
 */
PATALLOC_API int64_t patalloc_written(patalloc_heap *heap);

/* Writes the heap's stats to `json`, NUL-terminated and cut to `capacity` bytes. Returns the length
 * that the whole has, as snprintf(3) does. Async-signal-safe. */
PATALLOC_API size_t patalloc_stats(patalloc_heap *heap, char *json, size_t capacity);

/* The heap's options as one string that patalloc_heap_create takes; returns as patalloc_stats. */
PATALLOC_API size_t patalloc_heap_options(patalloc_heap *heap, char *text, size_t capacity);

/* Options and kernel features, as data */

struct patalloc_option {
  const char *name, *preset, *allowed, *meaning;
};

/* Option `index`, counted from 0; -1 past the last, else 0. */
PATALLOC_API int patalloc_option(int index, struct patalloc_option *option);

/* Checks an option string. Returns 0, and in `text` all options in full, "key=value" a line; -1
 * with errno EINVAL, and in `text` one line about each bad option. Async-signal-safe. */
PATALLOC_API int patalloc_options_check(const char *options, char *text, size_t capacity);

struct patalloc_feature {
  const char *name, *since, *purpose, *fallback;
  int available; /* as tried on this kernel, now */
};

/* Kernel feature `index`, counted from 0; -1 past the last, else 0. */
PATALLOC_API int patalloc_feature(int index, struct patalloc_feature *feature);

struct patalloc_limits {
  size_t page_size;
  size_t max_map_count;     /* VMAs that a process may have */
  size_t map_count_allowed; /* of them, how many heaps use at most */
  size_t address_space;     /* the lesser of RLIMIT_AS and RLIMIT_DATA; SIZE_MAX: none */
  size_t available_memory;  /* now, control groups included */
};

PATALLOC_API void patalloc_limits(struct patalloc_limits *limits);

/* The heap behind malloc(3) in this process; in libpatalloc.so only. Never destroy it. */
PATALLOC_API patalloc_heap *patalloc_process_heap(void);

/* What patalloc_fresh calls, where the library is there. */
PATALLOC_API void patalloc_process_fresh(void *memory, size_t size) __attribute__((weak));

/* Memory that a pool of the program's own hands out, and that its user has not written: `size`
 * bytes hold the pattern from here on, and `patalloc hunt` looks at them as at a block of malloc's.
 * It does nothing in a process without libpatalloc.so; for a program that is linked without -fPIE
 * the linker is to be given -z dynamic-undefined-weak. Any thread may call it. */
static inline void patalloc_fresh(void *memory, size_t size) {
  if (patalloc_process_fresh) patalloc_process_fresh(memory, size);
}

/* What patalloc_note calls, where the library is there. */
PATALLOC_API void patalloc_process_note(const char *text) __attribute__((weak));

/* What the calling thread is at from here on: a test, a request. It is kept with each allocation
 * and free, and told in reports: "during test_b; allocated during test_a". NULL for nothing. What
 * the first thread says holds for threads that have said nothing. The text is copied, up to 2,047
 * bytes; once all that were said make 16 MiB no new one is kept. It does nothing in a process
 * without libpatalloc.so, as patalloc_fresh. Any thread may call it; not a signal handler. */
static inline void patalloc_note(const char *text) {
  if (patalloc_process_note) patalloc_process_note(text);
}

/* What patalloc_recording calls, where the library is there. */
PATALLOC_API int patalloc_process_recording(int on) __attribute__((weak));

/* Under `patalloc record`: what is requested is recorded from here on, or (0) no more. Blocks that
 * are freed meanwhile count as live until their address is used again. Returns 1 where it was
 * recorded before, else 0, as in a process that is not recorded. It holds for all threads; any of
 * them may call it, and a signal handler. */
static inline int patalloc_recording(int on) {
  return patalloc_process_recording ? patalloc_process_recording(on) : 0;
}

#ifdef __cplusplus
}
#endif

#endif
