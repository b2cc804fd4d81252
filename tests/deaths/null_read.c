/* null-pointer: SIGSEGV, read at 0x18, 24 bytes from a null pointer */
#include "death.h"

struct node {
  long key[3], value;
};

static void act(void) {
  struct node one = {{0}, 1}, *node = hide(good ? &one : NULL);
  if (node->value != 1) puts("?"); /* HERE */
}
