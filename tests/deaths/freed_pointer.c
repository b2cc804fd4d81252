/* use-after-free: SIGSEGV, .*, what a block is filled with when it is freed */
#include "death.h"

struct node {
  long key[4];
  struct node *next;
};

static void act(void) {
  struct node *node = hide(calloc(1, sizeof *node));
  node->next = node;
  if (!good) free(node);
  if (((volatile struct node *)node)->next->key[0]) puts("?"); /* HERE */
}
