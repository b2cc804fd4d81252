/* Blocks that are written past their ends, or after they were freed, and that nobody gives up.
 *
 *   unfreed SIZE BYTES HOW    writes so many bytes past the end; HOW: exit, patalloc_check, or the
 *                             number of a signal that is raised
 *   unfreed SIZE freed HOW    writes to one that was freed
 *   unfreed SIZE protected HOW    protects one, with what lies behind it, beside a thread that
 *                             allocates */
#include "check.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>

static void *allocate(void *unused) {
  for (;;) free(malloc(100));
  return unused;
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  size_t size = (size_t)atol(argv[1]);
  char *volatile block = malloc(size), *volatile zeros = calloc(1, size);
  CHECK(block && zeros);
  memset(block, 1, size);
  if (!strcmp(argv[2], "protected")) {
    pthread_t thread;
    char *pages = aligned_alloc(4096, size);
    CHECK(pages && !pthread_create(&thread, NULL, allocate, NULL));
    CHECK(!mprotect(pages + size / 4096 * 4096, 4096, PROT_NONE));
    if (size >= 4096) CHECK(!mprotect(pages, 4096, PROT_NONE));
  } else if (!strcmp(argv[2], "freed"))
    free(block), block[size / 2] = 2;
  else
    memset(block + size, 2, (size_t)atol(argv[2]));
  if (!strcmp(argv[3], "patalloc_check")) {
    void *(*heap)(void);
    size_t (*look)(void *);
    *(void **)&heap = dlsym(RTLD_DEFAULT, "patalloc_process_heap");
    *(void **)&look = dlsym(RTLD_DEFAULT, "patalloc_check");
    CHECK(heap && look);
    printf("%zu\n", look(heap()));
    printf("%zu\n", look(heap()));
  } else if (strcmp(argv[3], "exit")) {
    raise(atoi(argv[3]));
  }
  return 0;
}
