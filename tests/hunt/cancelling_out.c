/* 0-1 0-20 */
#include "bug.h"

int main(void) {
  char *one = get(10);   /* CULPRIT */
  char *other = get(20); /* CULPRIT */
  printf("%d\n", one[0] ^ other[0]);
}
