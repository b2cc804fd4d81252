/* 0-8 */
#include "bug.h"

int main(void) {
  double *sum = get(sizeof *sum); /* CULPRIT */
  for (int i = 0; i < 100; i++) *sum += i;
  printf("%a\n", *sum);
}
