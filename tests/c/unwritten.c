/* Blocks of several sizes, of each of which known bytes are never written. */
#include "check.h"

#include <sys/mman.h>
#include <sys/wait.h>

static char *volatile kept;

/* Bytes that no code has. */
static void write_to(char *block, size_t from, size_t end) {
  memset(block + from, 0, end - from);
}

int main(int argc, char **argv) {
  char *freed = malloc(100), *large = malloc(1000000), *whole = malloc(5000);
  write_to(freed, 0, 40);
  write_to(large, 0, 500000);
  write_to(large, 500100, 1000000);
  write_to(whole, 0, 5000);
  free(freed);
  free(large);
  free(whole);
  kept = malloc(70);
  write_to(kept, 8, 16);
  write_to(kept, 60, 61);
  char *grown = malloc(200);
  write_to(grown, 0, 150);
  grown = realloc(grown, 300);
  kept = calloc(1, 500);
  char *gone = malloc(600000);
  CHECK(!mprotect((char *)(((uintptr_t)gone + 4095) & ~(uintptr_t)4095), 65536, PROT_NONE));
  if (!fork()) {
    kept = malloc(50);
    write_to(kept, 0, 49);
    _exit(0);
  }
  wait(NULL);
  if (!vfork()) _exit(0);
  if (argc > 1 && !strcmp(argv[1], "dies")) *(volatile char *)0 = 1;
  write_to(grown, 250, 300);
}
