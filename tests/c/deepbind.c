/* Blocks that go between a program and a library that has the C library's own malloc, as
 * RTLD_DEEPBIND makes it (dlopen(3)). Small ones: of a large one of the heap's no other malloc
 * knows anything.
 *
 *   deepbind LIBRARY give|take|pieces    LIBRARY is this file compiled with -DLIBRARY */
#include "check.h"

#ifdef LIBRARY

__attribute__((visibility("default"))) void *give(size_t size) {
  return memset(malloc(size), 0x11, size);
}
__attribute__((visibility("default"))) void take(void *block) {
  free(block);
}

#else
#include <dlfcn.h>

static void *(*give)(size_t);
static void (*take)(void *);

static void *to_the_program(void *unused) {
  enum { COUNT = 200 };
  static _Thread_local char *blocks[COUNT];
  for (int i = 0; i < COUNT; i++) free(give((size_t)i * 7));
  for (int i = 0; i < COUNT; i++) blocks[i] = give((size_t)i);
  for (int i = 0; i < COUNT; i++) {
    CHECK(malloc_usable_size(blocks[i]) >= (size_t)i);
    blocks[i] = realloc(blocks[i], 10 + (size_t)i * (i % 2 ? 3 : 2000));
    for (int j = 0; j < i && j < 10; j++) CHECK(blocks[i][j] == 0x11);
  }
  for (int i = 0; i < COUNT; i++) free(blocks[i]);
  free(give(300000)); /* which that malloc maps */
  return unused;
}

static void *to_the_library(void *unused) {
  for (int i = 0; i < 1000; i++) take(malloc((size_t)i));
  return unused;
}

/* What the heap gave comes back in pieces, from the other malloc: they are that one's. */
static void *in_pieces(void *unused) {
  enum { PIECES = 8, SIZE = 100 };
  unsigned char *pieces[PIECES], *whole = malloc(4000);
  take(whole);
  unsigned char *first = give(SIZE);
  for (int i = 0; i < PIECES; i++) pieces[i] = give(SIZE);
  CHECK(malloc_usable_size(first) < 2 * SIZE);
  free(first);
  for (int i = 0; i < PIECES; i++) CHECK(holds(pieces[i], SIZE, 0x11));
  for (int i = 0; i < PIECES; i++) take(pieces[i]);
  return unused;
}

static void in_two_threads(void *(*function)(void *)) {
  pthread_t thread;
  function(NULL);
  CHECK(!pthread_create(&thread, NULL, function, NULL) && !pthread_join(thread, NULL));
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND);
  CHECK(library);
  give = (void *(*)(size_t))dlsym(library, "give");
  take = (void (*)(void *))dlsym(library, "take");
  CHECK(give && take);
  const struct {
    const char *name;
    void *(*function)(void *);
  } ways[] = {{"give", to_the_program}, {"take", to_the_library}, {"pieces", in_pieces}};
  size_t i = 0;
  while (i < sizeof ways / sizeof *ways && strcmp(ways[i].name, argv[2])) i++;
  CHECK(i < sizeof ways / sizeof *ways);
  in_two_threads(ways[i].function);
  return 0;
}
#endif
