/* C++'s operators new and delete, in front of those of its runtime (C++20 [new.delete]), by their
 * names in the Itanium ABI. They are malloc and free, as the runtime has them; but it is known
 * which of them were called, and with what: by whom a block was requested and is given back.
 *
 * A program or a library may have operators of its own instead. Then all calls go on to the next
 * ones, and nothing is known: those of the runtime may call its own, for blocks that are none of
 * malloc's. */
#include "patalloc.h"
#include "preload/interpose.h"
#include "preload/next.h"
#include "watch/origin.h"
#include "watch/report.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <stdlib.h>

static const char names[][40] = {
    "_Znwm",
    "_Znam",
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
};
enum { OPERATORS = sizeof names / sizeof *names, BASIC = 4 }; /* the first ones: what others call */

/* Whose they are */

extern const char __ehdr_start[] __attribute__((visibility("hidden"))); /* ld's: of this library */
extern const char _end[] __attribute__((visibility("hidden")));

static bool is_ours(const void *function) {
  return (uintptr_t)function - (uintptr_t)__ehdr_start < (uintptr_t)(_end - __ehdr_start);
}

/* Where the runtime is, there is what only it has. A name that nobody has next is one of a runtime
 * that the caller alone sees, as it was loaded with a library of his (dlopen(3), RTLD_LOCAL). */
static bool is_of_runtime(const void *function) {
  Dl_info one, other;
  const void *handler = next_symbol("_ZSt15get_new_handlerv");
  if (!function) return true;
  return handler && dladdr(function, &one) && dladdr(handler, &other) &&
         one.dli_fbase == other.dli_fbase;
}

static bool are_replaced(void) {
  for (int i = 0; i < OPERATORS; i++)
    if (!is_ours(dlsym(RTLD_DEFAULT, names[i]))) return true;
  for (int i = 0; i < BASIC; i++)
    if (!is_of_runtime(next_symbol(names[i]))) return true;
  return false;
}

/* What calls come to, which is found out with the first object of a program. */
static _Atomic enum { UNKNOWN, PLAIN, WATCHED, PASSED_ON } state;

RARE static void find_out(void) {
  const struct patalloc_heap *heap = interposed_heap();
  if (heap && state == UNKNOWN)
    state = are_replaced() ? PASSED_ON : origin_is_checked(&heap->options) ? WATCHED : PLAIN;
}

/* Whether they are nothing but malloc and free. */
static inline bool is_plain(void) {
  if (__builtin_expect(state == UNKNOWN, false)) find_out();
  return __builtin_expect(state == PLAIN && !process_heap.options.count, true);
}

/* A handle of the object that the address is in (dlopen(3)). */
RARE static void *open_object(const void *address) {
  Dl_info info;
  struct link_map *map;
  bool known = address && dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP);
  return known ? dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
}

/* What the function at `caller` would have found, in the scope of the object that it is in. The
 * runtime stays open: one operator of its may jump to another, so that the caller is this file. */
RARE static void *find_as(const char *name, const void *caller) {
  static void *_Atomic runtime;
  void *object = runtime ? NULL : open_object(caller);
  void *function = object ? dlsym(object, name) : NULL;
  if (!runtime && !is_ours(function)) runtime = open_object(function);
  if (object) dlclose(object);
  return runtime ? dlsym(runtime, name) : NULL;
}

/* One of them as it is called. */
struct call {
  const char *name;
  void *_Atomic *next; /* once that is known */
  void *caller;
};

static void *next_of(const struct call *call) {
  if (!*call->next) *call->next = next_symbol(call->name);
  return *call->next ? *call->next : find_as(call->name, call->caller);
}

#define CALL                                                                                       \
  static void *_Atomic next;                                                                       \
  struct call call = {__func__, &next, __builtin_return_address(0)}

/* Arguments are passed on as they came; registers that a function doesn't take are its callers' to
 * waste (System V ABI, AAPCS64). */

/* Where there is no memory the runtime has its own ways: handlers, and exceptions, which pass
 * through here. */
RARE static void *ask_next(const struct call *call, size_t size, uintptr_t second,
                           uintptr_t third) {
  void *(*next)(size_t, uintptr_t, uintptr_t);
  *(void **)&next = next_of(call);
  if (next) return next(size, second, third);
  report_line("operator new: there is no memory, and no C++ runtime was found to say so to");
  abort();
}

static void *request_watched(const struct call *call, enum origin origin, size_t alignment,
                             size_t size, uintptr_t second, uintptr_t third) {
  if (state == PASSED_ON) return ask_next(call, size, second, third);
  if (process_heap.options.count) stats_add(heap_stats(&process_heap), STAT_NEW_REQUESTS, 1);
  void *pointer = alignment ? aligned_alloc(alignment, size) : malloc(size);
  if (!pointer) pointer = ask_next(call, size, second, third);
  if (pointer && state == WATCHED) origin_set(pointer, origin, alignment);
  return pointer;
}

static inline void *request(const struct call *call, enum origin origin, size_t alignment,
                            size_t size, uintptr_t second, uintptr_t third) {
  if (is_plain()) {
    void *pointer = alignment ? patalloc_aligned_alloc(&process_heap, alignment, size)
                              : patalloc_malloc(&process_heap, size);
    if (__builtin_expect(pointer != NULL, true)) return pointer;
  }
  return request_watched(call, origin, alignment, size, second, third);
}

PATALLOC_API void *_Znwm(size_t size) {
  CALL;
  return request(&call, ORIGIN_NEW, 0, size, 0, 0);
}
PATALLOC_API void *_Znam(size_t size) {
  CALL;
  return request(&call, ORIGIN_NEW_ARRAY, 0, size, 0, 0);
}
PATALLOC_API void *_ZnwmRKSt9nothrow_t(size_t size, uintptr_t nothrow) {
  CALL;
  return request(&call, ORIGIN_NEW, 0, size, nothrow, 0);
}
PATALLOC_API void *_ZnamRKSt9nothrow_t(size_t size, uintptr_t nothrow) {
  CALL;
  return request(&call, ORIGIN_NEW_ARRAY, 0, size, nothrow, 0);
}
PATALLOC_API void *_ZnwmSt11align_val_t(size_t size, size_t alignment) {
  CALL;
  return request(&call, ORIGIN_NEW, alignment, size, alignment, 0);
}
PATALLOC_API void *_ZnamSt11align_val_t(size_t size, size_t alignment) {
  CALL;
  return request(&call, ORIGIN_NEW_ARRAY, alignment, size, alignment, 0);
}
PATALLOC_API void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                      uintptr_t nothrow) {
  CALL;
  return request(&call, ORIGIN_NEW, alignment, size, alignment, nothrow);
}
PATALLOC_API void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                      uintptr_t nothrow) {
  CALL;
  return request(&call, ORIGIN_NEW_ARRAY, alignment, size, alignment, nothrow);
}

static void give_watched(const struct call *call, const struct giving *giving, void *pointer,
                         uintptr_t second, uintptr_t third) {
  void (*next)(void *, uintptr_t, uintptr_t);
  *(void **)&next = state == PASSED_ON ? next_of(call) : NULL;
  if (next) return next(pointer, second, third);
  if (pointer && state == WATCHED) origin_check(&process_heap.watch, pointer, giving);
  free(pointer);
}

static inline void give(const struct call *call, struct giving giving, void *pointer,
                        uintptr_t second, uintptr_t third) {
  if (is_plain()) return patalloc_free(&process_heap, pointer);
  give_watched(call, &giving, pointer, second, third);
}

#define ONE   .call = "operator delete", .origin = ORIGIN_NEW
#define ARRAY .call = "operator delete[]", .origin = ORIGIN_NEW_ARRAY

PATALLOC_API void _ZdlPv(void *pointer) {
  CALL;
  give(&call, (struct giving){ONE}, pointer, 0, 0);
}
PATALLOC_API void _ZdaPv(void *pointer) {
  CALL;
  give(&call, (struct giving){ARRAY}, pointer, 0, 0);
}
PATALLOC_API void _ZdlPvRKSt9nothrow_t(void *pointer, uintptr_t nothrow) {
  CALL;
  give(&call, (struct giving){ONE}, pointer, nothrow, 0);
}
PATALLOC_API void _ZdaPvRKSt9nothrow_t(void *pointer, uintptr_t nothrow) {
  CALL;
  give(&call, (struct giving){ARRAY}, pointer, nothrow, 0);
}
PATALLOC_API void _ZdlPvm(void *pointer, size_t size) {
  CALL;
  give(&call, (struct giving){ONE, .sized = true, .size = size}, pointer, size, 0);
}
PATALLOC_API void _ZdaPvm(void *pointer, size_t size) {
  CALL;
  give(&call, (struct giving){ARRAY, .sized = true, .size = size}, pointer, size, 0);
}
PATALLOC_API void _ZdlPvSt11align_val_t(void *pointer, size_t alignment) {
  CALL;
  give(&call, (struct giving){ONE, .aligned = alignment}, pointer, alignment, 0);
}
PATALLOC_API void _ZdaPvSt11align_val_t(void *pointer, size_t alignment) {
  CALL;
  give(&call, (struct giving){ARRAY, .aligned = alignment}, pointer, alignment, 0);
}
PATALLOC_API void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                                      uintptr_t nothrow) {
  CALL;
  give(&call, (struct giving){ONE, .aligned = alignment}, pointer, alignment, nothrow);
}
PATALLOC_API void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                                      uintptr_t nothrow) {
  CALL;
  give(&call, (struct giving){ARRAY, .aligned = alignment}, pointer, alignment, nothrow);
}
PATALLOC_API void _ZdlPvmSt11align_val_t(void *pointer, size_t size, size_t alignment) {
  CALL;
  give(&call, (struct giving){ONE, .sized = true, .size = size, .aligned = alignment}, pointer,
       size, alignment);
}
PATALLOC_API void _ZdaPvmSt11align_val_t(void *pointer, size_t size, size_t alignment) {
  CALL;
  give(&call, (struct giving){ARRAY, .sized = true, .size = size, .aligned = alignment}, pointer,
       size, alignment);
}
