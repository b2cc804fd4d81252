/* 1-1073741824 */
#include "bug.h"

int main(void) {
  char *field = get(1 << 30); /* CULPRIT */
  field[0] = 1;
  int found;
  memcpy(&found, field + 700000000, sizeof found);
  printf("%d %d\n", field[0], found);
}
