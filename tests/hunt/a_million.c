/* 24-32 #654321 */
#include "bug.h"

struct node {
  struct node *next;
  long key, value, weight;
};

int main(void) {
  long sum = 0;
  struct node *list = NULL;
  for (int i = 1; i <= 1000000; i++) {
    struct node *node = get(sizeof *node); /* CULPRIT */
    node->next = list;
    node->key = node->value = i;
    if (i != 654321) node->weight = 1;
    list = node;
  }
  for (; list; list = list->next) sum += list->weight;
  printf("%ld\n", sum);
}
