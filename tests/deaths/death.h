/* What the programs here share: each dies, at the line marked HERE, of what its first comment says:
 * the kind, and what the sentence is to hold. With an argument it does the same thing rightly, and
 * prints "fine". */
#include <assert.h>
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

/* Hides from the compiler where a value comes from. */
static inline void *hide(void *pointer) {
  void *volatile hidden = pointer;
  return hidden;
}

static bool good;
static void act(void);

int main(int argc, char **argv) {
  (void)argv;
  good = argc > 1;
  act();
  if (good) puts("fine");
  return !good;
}
