/* uninitialised-pointer: SIGSEGV, (access at an address that is none: .* holds|.* at) 0xabab.*, the
 * pattern of memory that was never written */
#include "death.h"

struct node {
  long key;
  struct node *next;
};

static void act(void) {
  struct node *node = hide(good ? calloc(1, sizeof *node) : malloc(sizeof *node));
  if (good) node->next = node;
  if (!node->next->next) puts("?"); /* HERE */
}
