/* wild-access write - - */
#include "error.h"

int main(void) {
  char *block = malloc(SIZE);
  *aim(block + (1l << 36)) = 1; /* ACCESS */
}
