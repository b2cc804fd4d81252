/* heap-buffer-overflow write after 1 */
#include "error.h"

/* What was freed there before is another block's history. */
int main(void) {
  for (int i = 0; i < 4; i++) free(hide(malloc(SIZE)));
  char *block = hide(malloc(SIZE)); /* ALLOCATED */
  *aim(block + SIZE) = 1;           /* ACCESS */
}
