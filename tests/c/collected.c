/* Collected memory beside blocks: the collector reads stacks, registers and data, and finds no
 * guard there. */
#include "check.h"

#include <gc.h>

struct list {
  struct list *next;
  char bytes[500];
};

int main(void) {
  enum { ROUNDS = 30, LENGTH = 2000, BLOCKS = 16, SIZE = 200000 };
  static char *blocks[BLOCKS];
  GC_INIT();
  for (int round = 0; round < ROUNDS; round++) {
    struct list *first = NULL;
    for (int i = 0; i < BLOCKS; i++) {
      free(blocks[i]);
      CHECK((blocks[i] = malloc(SIZE)));
      memset(blocks[i], round, 100);
    }
    for (int i = 0; i < LENGTH; i++) {
      struct list *more = GC_MALLOC(sizeof *more);
      more->next = first;
      more->bytes[0] = (char)i;
      first = more;
    }
    GC_gcollect();
    for (int i = LENGTH; i--; first = first->next) CHECK(first->bytes[0] == (char)i);
  }
  puts("fine");
  return 0;
}
