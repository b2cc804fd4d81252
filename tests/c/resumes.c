/* Errors of every kind, one after the other, of which each is to be told, and none to end the
 * program: on_fault=continue.
 *
 *   resumes kinds    prints what was read behind a block, and then "done"
 *   resumes COUNT    so many overflows, of as many blocks */
#include "check.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void overflow(size_t size) {
  volatile unsigned char *block = malloc(size);
  CHECK(block);
  block[size] = 1;
  printf("%x\n", block[size + 1]);
  free((void *)block);
}

static void use_freed(size_t size) {
  volatile char *block = malloc(size);
  CHECK(block);
  free((void *)block);
  block[size / 2] = 2;
}

static void underflow(size_t size) {
  volatile char *block = malloc(size);
  CHECK(block);
  block[-1 - (long)((uintptr_t)block % 4096)] = 3;
  free((void *)block);
}

static void on_signal(int number) {
  static int calls;
  (void)number;
  static const char text[] = "the program's own handler was called\n";
  if (write(1, text, sizeof text - 1) < 0 || ++calls == 3) _exit(9);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  signal(SIGSEGV, on_signal);
  setvbuf(stdout, NULL, _IONBF, 0);
  int count = atoi(argv[1]);
  for (int i = 0; i < count; i++) overflow(200000);
  if (count) return 0;
  overflow(800000); /* of the same size: the place is one that was freed, or another */
  overflow(800000);
  overflow(800000);
  overflow(100000000);
  use_freed(1000000);
  use_freed(100000000);
  underflow(800000);
  memset(malloc(800000), 0, 800000);
  puts("done");
  return 0;
}
