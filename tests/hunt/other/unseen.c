/* An allocator of its own, which takes its memory from the kernel, and says so as jemalloc does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { OURS = 8 << 20, MALLOCS = 4 << 20 };

int main(void) {
  char *memory = mmap(NULL, OURS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return puts("<jemalloc>: out of memory"), 1;
  memset(memory, 1, OURS);
  memset(malloc(MALLOCS), 1, MALLOCS);
  return 0;
}
