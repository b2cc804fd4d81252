/* wild-access: SIGBUS, read at 0x[0-9a-f]+, in .* \(r--s\): past the end of the file that is mapped
 * there */
#include "death.h"

enum { PAGE = 1 << 16 };

static void act(void) {
  FILE *file = tmpfile();
  ftruncate(fileno(file), good ? 2 * PAGE : PAGE);
  volatile char *map = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fileno(file), 0);
  if (map[PAGE + 10]) puts("?"); /* HERE */
}
