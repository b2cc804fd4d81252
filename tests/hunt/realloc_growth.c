/* 16-32 */
#include "bug.h"

int main(void) {
  char *buffer = get(16);
  memset(buffer, 'x', 16);
  buffer = realloc(buffer, 32); /* CULPRIT */
#ifdef FIXED
  memset(buffer + 16, 0, 16);
#endif
  fwrite(buffer, 32, 1, stdout);
}
