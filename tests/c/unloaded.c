/* A library is unloaded, and another one takes its place, whose code is the same but for the size
 * of a frame. The program frees a block of it twice.
 *
 *   unloaded LIBRARY OTHER    this file, compiled with -DLIBRARY=1000 and 3000 */
#include "check.h"

#ifdef LIBRARY

__attribute__((visibility("default"))) void *get(size_t size) {
  volatile char room[LIBRARY];
  room[0] = 0;
  void *block = malloc(size);
  if (room[0]) return NULL;
  return block;
}

#else
#include <dlfcn.h>

int main(int argc, char **argv) {
  void *(*before)(size_t) = NULL, *(*get)(size_t);
  CHECK(argc == 3);
  for (int i = 1; i <= 2; i++, before = get) {
    void *library = dlopen(argv[i], RTLD_NOW);
    CHECK(library);
    *(void **)&get = dlsym(library, "get");
    CHECK(get && (!before || before == get));
    void *block = get(200000);
    free(block);
    if (i == 2) free(block);
    CHECK(!dlclose(library));
  }
  return 0;
}
#endif
