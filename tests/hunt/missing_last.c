/* 36-40 */
#include "bug.h"

int main(void) {
  int *numbers = get(10 * sizeof *numbers); /* CULPRIT */
  for (int i = 0; i < 9; i++) numbers[i] = i;
  long sum = 0;
  for (int i = 0; i < 10; i++) sum += numbers[i];
  printf("%ld\n", sum);
}
