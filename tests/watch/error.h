/* What the programs here share: each makes one error, at the line marked ACCESS, in a block that is
 * allocated and freed at those marked ALLOCATED and FREED. Its first comment says what the report
 * is to tell: kind, access, place and distance ("-" for none). */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wunused-result"
#pragma GCC diagnostic ignored "-Wuse-after-free"
#pragma GCC diagnostic ignored "-Wfree-nonheap-object"

#ifndef SIZE
#define SIZE (1 << 20)
#endif
enum { PAGE = 4096 };

/* The address itself or, where the test asks for it, one that faults without our help: to see how
 * the process ends then. */
static inline volatile char *aim(void *address) {
  if (!getenv("FAULT_ALONE")) return address;
  return mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Hides from the compiler where a pointer comes from. */
static inline char *hide(void *pointer) {
  char *volatile hidden = pointer;
  return hidden;
}
