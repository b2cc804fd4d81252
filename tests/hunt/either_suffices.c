/* 0-8 0-8 */
#include "bug.h"

int main(void) {
  char *one = get(8);   /* CULPRIT */
  char *other = get(8); /* CULPRIT */
  printf("%d\n", one[0] || other[0]);
}
