/* C++'s operators new and delete, in front of those of its runtime (C++20 [new.delete]), by their
 * names in the Itanium ABI: a library of its own (libpatalloc_operators.so), preloaded behind the
 * other where it is asked for what they tell. They are malloc and free, as the runtime has them;
 * but it is known which of them were called, and with what.
 *
 * A program, or a library that it starts with, may have operators of its own instead. Then all
 * calls go on to the next ones, and nothing is known: those of the runtime may call its own, for
 * blocks that are none of malloc's.
 *
 * That is found out at the start. Later nothing here may call the loader, whose lock another thread
 * may have that waits for this one, and whose last error is the program's (dlerror(3)): but where
 * there is no memory. */
#include "preload/origins.h"

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#pragma weak patalloc_requested
#pragma weak patalloc_given

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
enum { OPERATORS = sizeof names / sizeof *names };

/* At the start */

extern const char __ehdr_start[] __attribute__((visibility("hidden"))); /* ld's: of this library */
extern const char _end[] __attribute__((visibility("hidden")));

static bool is_ours(const void *function) {
  return (uintptr_t)function - (uintptr_t)__ehdr_start < (uintptr_t)(_end - __ehdr_start);
}

static void *next[OPERATORS]; /* NULL: nobody has it that the program starts with */
static _Atomic enum { UNKNOWN, KNOWN, PASSED_ON } state;

/* Where the runtime is, there is what only it has: all are to be there, or none. */
static bool are_replaced(void) {
  Dl_info of_runtime, of_next;
  const void *handler = dlsym(RTLD_NEXT, "_ZSt15get_new_handlerv");
  bool runtime = handler && dladdr(handler, &of_runtime);
  for (int i = 0; i < OPERATORS; i++) {
    if (!is_ours(dlsym(RTLD_DEFAULT, names[i]))) return true;
    if (!next[i]) continue;
    if (!runtime || !dladdr(next[i], &of_next) || of_next.dli_fbase != of_runtime.dli_fbase)
      return true;
  }
  return false;
}

/* With the first call, as constructors of libraries may come before this one. */
__attribute__((constructor)) static void find_out(void) {
  if (state != UNKNOWN) return;
  for (int i = 0; i < OPERATORS; i++) next[i] = dlsym(RTLD_NEXT, names[i]);
  state = patalloc_requested && !are_replaced() ? KNOWN : PASSED_ON;
  dlerror();
}

static inline bool is_known(void) {
  if (state == UNKNOWN) find_out();
  return state == KNOWN;
}

/* A runtime that the caller alone sees, as it was loaded with a library of his (dlopen(3),
 * RTLD_LOCAL) */

/* A handle of the object that the address is in. */
static void *open_object(const void *address) {
  Dl_info info;
  struct link_map *map;
  bool known = address && dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP);
  return known ? dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD) : NULL;
}

/* What the function at `caller` would have found, in the scope of the object that it is in. The
 * runtime stays open: one operator of its may jump to another, so that the caller is this file. */
static void *find_as(const char *name, const void *caller) {
  static void *_Atomic runtime;
  void *object = runtime ? NULL : open_object(caller);
  void *function = object ? dlsym(object, name) : NULL;
  if (!runtime && !is_ours(function)) runtime = open_object(function);
  if (object) dlclose(object);
  function = runtime ? dlsym(runtime, name) : NULL;
  dlerror();
  return function;
}

static void *next_of(const char *name, const void *caller) {
  int i = 0;
  while (strcmp(names[i], name)) i++;
  return next[i] ? next[i] : find_as(name, caller);
}

/* Each of them. Arguments are passed on as they came; registers that a function doesn't take are
 * its callers' to waste (System V ABI, AAPCS64). */
struct call {
  const char *name;
  const void *caller;
  bool array;
  size_t alignment;
};
#define CALL(...) (&(struct call){__func__, __builtin_return_address(0), __VA_ARGS__})
enum { ONE = false, ARRAY = true };

/* Where there is no memory the runtime has its own ways: handlers, and exceptions, which pass
 * through here. It may round the size up. */
static void *ask_next(const struct call *call, size_t size, uintptr_t second, uintptr_t third) {
  void *(*function)(size_t, uintptr_t, uintptr_t);
  *(void **)&function = next_of(call->name, call->caller);
  if (function) return function(size, second, third);
  if (strstr(call->name, "nothrow")) return NULL;
  abort(); /* who calls it can catch nothing */
}

static void *request(const struct call *call, size_t size, uintptr_t second, uintptr_t third) {
  if (!is_known()) return ask_next(call, size, second, third);
  void *pointer = call->alignment ? aligned_alloc(call->alignment, size) : malloc(size);
  bool whole = pointer;
  if (!pointer) pointer = ask_next(call, size, second, third);
  patalloc_requested(pointer, call->array, call->alignment, whole);
  return pointer;
}

PATALLOC_API void *_Znwm(size_t size) {
  return request(CALL(ONE, 0), size, 0, 0);
}
PATALLOC_API void *_Znam(size_t size) {
  return request(CALL(ARRAY, 0), size, 0, 0);
}
PATALLOC_API void *_ZnwmRKSt9nothrow_t(size_t size, uintptr_t nothrow) {
  return request(CALL(ONE, 0), size, nothrow, 0);
}
PATALLOC_API void *_ZnamRKSt9nothrow_t(size_t size, uintptr_t nothrow) {
  return request(CALL(ARRAY, 0), size, nothrow, 0);
}
PATALLOC_API void *_ZnwmSt11align_val_t(size_t size, size_t alignment) {
  return request(CALL(ONE, alignment), size, alignment, 0);
}
PATALLOC_API void *_ZnamSt11align_val_t(size_t size, size_t alignment) {
  return request(CALL(ARRAY, alignment), size, alignment, 0);
}
PATALLOC_API void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                      uintptr_t nothrow) {
  return request(CALL(ONE, alignment), size, alignment, nothrow);
}
PATALLOC_API void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t alignment,
                                                      uintptr_t nothrow) {
  return request(CALL(ARRAY, alignment), size, alignment, nothrow);
}

#define UNSIZED false, 0

static void give(const struct call *call, void *pointer, bool sized, size_t size, uintptr_t second,
                 uintptr_t third) {
  void (*function)(void *, uintptr_t, uintptr_t);
  *(void **)&function = is_known() ? NULL : next_of(call->name, call->caller);
  if (function) return function(pointer, second, third);
  if (state == KNOWN) patalloc_given(pointer, call->array, call->alignment, sized, size);
  free(pointer);
}

PATALLOC_API void _ZdlPv(void *pointer) {
  give(CALL(ONE, 0), pointer, UNSIZED, 0, 0);
}
PATALLOC_API void _ZdaPv(void *pointer) {
  give(CALL(ARRAY, 0), pointer, UNSIZED, 0, 0);
}
PATALLOC_API void _ZdlPvRKSt9nothrow_t(void *pointer, uintptr_t nothrow) {
  give(CALL(ONE, 0), pointer, UNSIZED, nothrow, 0);
}
PATALLOC_API void _ZdaPvRKSt9nothrow_t(void *pointer, uintptr_t nothrow) {
  give(CALL(ARRAY, 0), pointer, UNSIZED, nothrow, 0);
}
PATALLOC_API void _ZdlPvm(void *pointer, size_t size) {
  give(CALL(ONE, 0), pointer, true, size, size, 0);
}
PATALLOC_API void _ZdaPvm(void *pointer, size_t size) {
  give(CALL(ARRAY, 0), pointer, true, size, size, 0);
}
PATALLOC_API void _ZdlPvSt11align_val_t(void *pointer, size_t alignment) {
  give(CALL(ONE, alignment), pointer, UNSIZED, alignment, 0);
}
PATALLOC_API void _ZdaPvSt11align_val_t(void *pointer, size_t alignment) {
  give(CALL(ARRAY, alignment), pointer, UNSIZED, alignment, 0);
}
PATALLOC_API void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                                      uintptr_t nothrow) {
  give(CALL(ONE, alignment), pointer, UNSIZED, alignment, nothrow);
}
PATALLOC_API void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *pointer, size_t alignment,
                                                      uintptr_t nothrow) {
  give(CALL(ARRAY, alignment), pointer, UNSIZED, alignment, nothrow);
}
PATALLOC_API void _ZdlPvmSt11align_val_t(void *pointer, size_t size, size_t alignment) {
  give(CALL(ONE, alignment), pointer, true, size, size, alignment);
}
PATALLOC_API void _ZdaPvmSt11align_val_t(void *pointer, size_t size, size_t alignment) {
  give(CALL(ARRAY, alignment), pointer, true, size, size, alignment);
}
