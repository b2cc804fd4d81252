/* Preloaded, with the core: at every so many of a program's allocations, the stack that is walked
 * by steps of our own is the one that the compiler's unwinder finds. At the end it prints how many
 * there were, and how many of them our own steps were enough for. */
#include "check.h"
#include "os/init.h"
#include "watch/unwind.h"

#undef malloc

#include <dlfcn.h>
#include <stdatomic.h>

enum { EVERY = 7 };

static _Atomic unsigned long calls, walks, clear;
static _Thread_local bool busy __attribute__((tls_model("initial-exec")));

static void compare(void) {
  struct stack ours, theirs;
  clear += unwind(&ours, STACK_MOST, NULL);
  unsigned last = unwind_from(&theirs, STACK_MOST, 0) ? STACK_LAST : 0; /* the outermost ones */
  walks++;
  CHECK(ours.count == theirs.count);
  for (unsigned i = 0; i + last < ours.count; i++) CHECK(ours.frames[i] == theirs.frames[i]);
}

__attribute__((visibility("default"))) void *malloc(size_t size) {
  static void *(*next)(size_t);
  if (!next) *(void **)&next = dlsym(RTLD_NEXT, "malloc");
  if (!busy && calls++ % EVERY == 0) {
    busy = true;
    compare();
    busy = false;
  }
  return next(size);
}

__attribute__((constructor)) static void begin(void) {
  os_init();
}

__attribute__((destructor)) static void tell(void) {
  fprintf(stderr, "%lu walks, %lu clear\n", walks, clear);
}
