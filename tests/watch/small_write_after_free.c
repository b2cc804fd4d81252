/* use-after-free write inside 3 */
#include "error.h"

/* Found when the block leaves the quarantine. */
int main(void) {
  char *block = hide(malloc(24)); /* ALLOCATED */
  free(block);
  block[3] = 'A';
  block[5] = 'B';
  for (int i = 0; i < 2000; i++) free(hide(malloc(24))); /* ACCESS */
  return 0;
}
