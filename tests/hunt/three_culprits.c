/* 0-4 4-8 4-8 */
#include "bug.h"

struct pair {
  int one, other;
};

int main(void) {
  struct pair *first = get(sizeof *first);   /* CULPRIT */
  struct pair *second = get(sizeof *second); /* CULPRIT */
  struct pair *third = get(sizeof *third);   /* CULPRIT */
  first->other = 1;
  second->one = 2;
  third->one = 3;
  printf("%d %d\n", first->one, first->other);
  printf("%d %d %d\n", second->one, second->other, third->one + third->other);
}
