/* What is underneath the Python extension and programs that link the core: the process's malloc,
 * and its sigaction. */
#include "primary.h"
#include "underneath.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

void *primary_malloc(size_t size) {
  return malloc(size);
}

void *primary_calloc(size_t count, size_t size) {
  return calloc(count, size);
}

void *primary_realloc(void *pointer, size_t size) {
  return realloc(pointer, size);
}

void *primary_aligned(size_t alignment, size_t size) {
  void *pointer = NULL;
  int error =
      posix_memalign(&pointer, alignment < sizeof(void *) ? sizeof(void *) : alignment, size);
  if (error) errno = error;
  return pointer;
}

void primary_free(void *pointer) {
  free(pointer);
}

size_t primary_usable_size(void *pointer) {
  return malloc_usable_size(pointer);
}

/* Nothing is taken from it here: it sees the frees of all blocks but those that were asked of us.
 */
void primary_large_freed(size_t size) {
  (void)size;
}

int underneath_sigaction(int signal, const struct sigaction *action, struct sigaction *before) {
  return sigaction(signal, action, before);
}
