/* malloc(3) and its kin, in front of the C library's: each call goes to the process's heap. */
#include "preload/interpose.h"
#include "blocks/tag.h"
#include "heap/check.h"
#include "heap/facts.h"
#include "heap/fork.h"
#include "heap/leaks.h"
#include "heap/paths.h"
#include "heap/recorded.h"
#include "heap/sandbox.h"
#include "os/features.h"
#include "os/init.h"
#include "os/process.h"
#include "patalloc.h"
#include "preload/alternate.h"
#include "preload/next.h"
#include "watch/death.h"
#include "watch/fault.h"
#include "watch/hunt.h"
#include "watch/origin.h"
#include "watch/report.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct patalloc_heap process_heap;
static _Atomic bool begun, started;
static _Atomic bool plain; /* started, and not recorded */

static void complain_by_line(char *complaint) {
  char buffer[1024];
  for (char *end; *complaint; complaint = *end ? end + 1 : end) {
    end = complaint + text_until(complaint, text_length(complaint), '\n');
    struct text line = TEXT(buffer);
    text_string(&line, "PATALLOC_OPTIONS: ");
    text_span(&line, complaint, (size_t)(end - complaint));
    text_string(&line, "; the default holds");
    report_line(buffer);
  }
}

static const char *option_string(void) {
  const char *options = NULL;
  for (char **at = environ; *at && !options; at++) options = text_past(*at, "PATALLOC_OPTIONS=");
  return options && !os_secure() ? options : "";
}

/* Threads have it from those that make them, so the first must. */
static void check_tags(void) {
  const struct options *options = &process_heap.options;
  if (options->tag != TAG_OFF && os_uses(options, OS_MTE)) tag_check_thread(options);
}

/* Small blocks are filled up to the sizes that the primary tells; there slack ends, too. And blocks
 * of ours beside its own would be asked of the one behind it. */
RARE static void do_without_sizes(void) {
  struct options *options = &process_heap.options;
  if (options->small_fill == SMALL_FILL_NO && options->slack_check != SLACK_ALL &&
      !options_guard_small(options))
    return;
  report_line("the malloc underneath does not tell how large its blocks are: small ones are left "
              "as it gives them");
  options->small_fill = SMALL_FILL_NO;
  options->guard_small = 0;
  *options->guard_sites = 0;
  if (options->slack_check == SLACK_ALL) options->slack_check = SLACK_LARGE;
}

/* Not before the environment is there, nor where nobody knows what handlers the program sets. */
RARE static void watch_deaths(void) {
  death_message = dlvsym(RTLD_DEFAULT, "__abort_msg", "GLIBC_PRIVATE");
  fault_watch_deaths();
  alternate_start();
}

/* Not before the environment is there; nothing in here allocates. */
static bool start_heap(void) {
  if (!environ || atomic_exchange(&begun, true)) return false;
  char complaint[2048];
  struct text text = TEXT(complaint);
  complaint[0] = 0;
  os_init();
  options_default(&process_heap.options);
  options_parse(&process_heap.options, option_string(), &text);
  complain_by_line(complaint);
  primary = next_found();
  if (!primary.sized) do_without_sizes();
  paths_start(&process_heap);
  if (process_heap.watch.reports) watch_deaths();
  check_tags();
  bool recorded = *process_heap.options.record && !process_heap.watch.hunts &&
                  recorded_start(&process_heap.options);
  atomic_store_explicit(&started, true, memory_order_release);
  atomic_store_explicit(&plain, !recorded, memory_order_release);
  return true;
}

/* The heap; NULL while it is being started: the primary serves then. */
static inline struct patalloc_heap *heap(void) {
  bool ready = atomic_load_explicit(&started, memory_order_acquire) || start_heap();
  return ready ? &process_heap : NULL;
}

__attribute__((noinline)) static bool start_plain(void) {
  return !started && start_heap() && plain;
}

/* The same; NULL where requests are recorded, too. */
static inline struct patalloc_heap *plain_heap(void) {
  bool ready = atomic_load_explicit(&plain, memory_order_acquire) || start_plain();
  return ready ? &process_heap : NULL;
}

struct patalloc_heap *interposed_heap(void) {
  return heap();
}

__attribute__((constructor)) static void begin(void) {
  if (heap() && process_heap.options.sandbox) heap_enter_sandbox(&process_heap);
}

/* What is wrong with blocks that wait is told before it is too late. */
RARE static void look_back(void) {
  report_ending();
  check_at_exit(&process_heap);
}

__attribute__((destructor)) static void end(void) {
  if (process_heap.watch.reports) fault_let_die();
  if (report_last_look) look_back();
  if (process_heap.options.leaks && process_heap.watch.reports) leaks_tell(&process_heap);
  if (process_heap.watch.hunts) hunt_end();
  if (*process_heap.options.record) recorded_end(&process_heap);
  heap_write_stats(&process_heap);
}

/* As forked children end that are not to flush what their parent has printed. */
PATALLOC_API RARE _Noreturn void _exit(int status) {
  if (process_heap.watch.hunts) hunt_end();
  if (*process_heap.options.record) recorded_end(&process_heap);
  for (;;) syscall(SYS_exit_group, status);
}

PATALLOC_API RARE _Noreturn void _Exit(int status) {
  _exit(status);
}

RARE patalloc_heap *patalloc_process_heap(void) {
  fork_handle();
  return heap();
}

/* The family. The C library's headers declare these without visibility. */
#define EXPORT PATALLOC_API

EXPORT void *malloc(size_t size) {
  struct patalloc_heap *ours = plain_heap();
  if (ours) return patalloc_malloc(ours, size);
  return started ? recorded_malloc(&process_heap, size) : next_primary.malloc(size);
}

EXPORT void *calloc(size_t count, size_t size) {
  struct patalloc_heap *ours = plain_heap();
  if (ours) return patalloc_calloc(ours, count, size);
  return started ? recorded_calloc(&process_heap, count, size) : next_primary.calloc(count, size);
}

EXPORT void *realloc(void *pointer, size_t size) {
  struct patalloc_heap *ours = plain_heap();
  if (ours) return patalloc_realloc(ours, pointer, size);
  return started ? recorded_realloc(&process_heap, pointer, size)
                 : next_primary.realloc(pointer, size);
}

RARE EXPORT void *reallocarray(void *pointer, size_t count, size_t size) {
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) return errno = ENOMEM, NULL;
  return realloc(pointer, total);
}

EXPORT void free(void *pointer) {
  struct patalloc_heap *ours = plain_heap();
  if (ours)
    patalloc_free(ours, pointer);
  else if (started)
    recorded_free(&process_heap, pointer);
  else
    next_primary.free(pointer);
}

/* C23: the size is the caller's promise, which nothing relies on, but is checked where it can be.
 * The alignment is no part of what is known of malloc's. */
RARE static void give_sized(const char *call, void *pointer, size_t size) {
  struct giving giving = {.call = call, .origin = ORIGIN_MALLOC, .sized = true, .size = size};
  struct patalloc_heap *ours = heap();
  if (pointer && ours && origin_is_checked(&ours->options))
    origin_check(&ours->watch, pointer, &giving);
  free(pointer);
}

RARE EXPORT void free_sized(void *pointer, size_t size) {
  give_sized("free_sized", pointer, size);
}

RARE EXPORT void free_aligned_sized(void *pointer, size_t alignment, size_t size) {
  (void)alignment;
  give_sized("free_aligned_sized", pointer, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) {
  struct patalloc_heap *ours = plain_heap();
  if (ours) return patalloc_aligned_alloc(ours, alignment, size);
  return started ? recorded_aligned(&process_heap, alignment, size)
                 : next_primary.aligned(alignment, size);
}

/* Other alignments than powers of two are rounded up, as glibc does. */
RARE EXPORT void *memalign(size_t alignment, size_t size) {
  size_t power = 1;
  while (power && power < alignment) power *= 2;
  return power ? aligned_alloc(power, size) : (errno = EINVAL, NULL);
}

RARE EXPORT int posix_memalign(void **pointer, size_t alignment, size_t size) {
  if (alignment % sizeof(void *) || !alignment || alignment & (alignment - 1)) return EINVAL;
  void *allocated = aligned_alloc(alignment, size);
  if (!allocated) return errno; /* which glibc sets as well */
  *pointer = allocated;
  return 0;
}

RARE EXPORT void *valloc(size_t size) {
  return aligned_alloc(os_page ? os_page : (size_t)getpagesize(), size);
}

RARE EXPORT void *pvalloc(size_t size) {
  size_t page = (size_t)getpagesize();
  if (size > PTRDIFF_MAX) return errno = ENOMEM, NULL;
  return aligned_alloc(page, (size + page - 1) & ~(page - 1));
}

RARE EXPORT size_t malloc_usable_size(void *pointer) {
  struct patalloc_heap *ours = heap();
  bool knows = ours && (primary.sized || region_holds(pointer));
  return knows ? patalloc_usable_size(ours, pointer) : next_primary.usable_size(pointer);
}

/* Before there is a second thread fork must be known to take our locks: a thread that takes one
 * while another is forking already would leave the child without. */
void interposed_expect_thread(void) {
  fork_handle();
  check_tags();
}

/* What concerns the primary too is passed on to it. */

RARE EXPORT int malloc_trim(size_t pad) {
  int (*trim)(size_t);
  *(void **)&trim = next_symbol("malloc_trim");
  struct patalloc_heap *ours = heap();
  bool released = ours && patalloc_release(ours);
  return (trim && trim(pad)) || released;
}

/* Our blocks count as those that glibc maps one by one. */
RARE EXPORT struct mallinfo2 mallinfo2(void) {
  struct mallinfo2 info = {0}, (*others)(void);
  *(void **)&others = next_symbol("mallinfo2");
  struct patalloc_heap *ours = heap();
  if (others) info = others();
  if (!ours) return info;
  info.hblks += ours->usage.blocks;
  info.hblkhd += ours->usage.bytes;
  return info;
}

RARE EXPORT int malloc_info(int options, FILE *stream) {
  int (*others)(int, FILE *);
  *(void **)&others = next_symbol("malloc_info");
  return others ? others(options, stream) : (errno = ENOSYS, -1);
}
