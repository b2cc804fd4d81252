/* Counts calls of malloc, and tells whose it is that they go on to: preloaded in front of an
 * allocator, by src/patalloc/lab/seen.py. A line is "COUNT PATH", or "own" in a program that has
 * a malloc of its own, which comes before all others. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic unsigned long calls;
static void *(*_Atomic next)(size_t);

__attribute__((visibility("default"))) void *malloc(size_t size) {
  calls++;
  if (!next) {
    void *found = dlsym(RTLD_NEXT, "malloc");
    next = *(void *(**)(size_t)) & found;
  }
  return next(size);
}

__attribute__((destructor)) static void tell(void) {
  const char *path = getenv("PATALLOC_SEEN");
  char line[4096];
  Dl_info info;
  void *found = dlsym(RTLD_NEXT, "malloc");
  if (!path || !dladdr(found, &info)) return;
  Dl_info first, ours;
  bool known = dladdr(dlsym(RTLD_DEFAULT, "malloc"), &first) && dladdr((void *)&calls, &ours);
  bool own = known && first.dli_fbase != ours.dli_fbase;
  int length = own ? snprintf(line, sizeof line, "own\n")
                   : snprintf(line, sizeof line, "%lu %s\n", calls, info.dli_fname);
  int descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor < 0 || length >= (int)sizeof line) return;
  if (write(descriptor, line, (size_t)length) != length) perror(path);
  close(descriptor);
}
