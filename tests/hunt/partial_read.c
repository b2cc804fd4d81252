/* 10-64 */
#include "bug.h"

int main(void) {
  int ends[2];
  char *buffer = get(64); /* CULPRIT */
  if (pipe(ends) || write(ends[1], "0123456789", 10) != 10) return 1;
  if (read(ends[0], buffer, 64) < 0) return 1;
  fwrite(buffer, 64, 1, stdout);
}
