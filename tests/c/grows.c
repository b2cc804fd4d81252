/* Blocks that come one after the other, the first 100 pages of the first one written, 200 of the
 * second, and so on; the first is freed, and then the process ends: by exit, or by SIGKILL, or
 * after a forked child has done so. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCKS = 8, SIZE = 4 << 20, PAGE = 4096, PAGES = 100 };

static void rest(void) {
  nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
}

static char *make_block(int pages) {
  char *made = malloc(SIZE);
  CHECK(made);
  for (int i = 0; i < pages; i++) made[i * PAGE] = 1;
  return made;
}

int main(int count, char **arguments) {
  char *blocks[BLOCKS], how = count > 1 ? *arguments[1] : 'e';
  if (how == 'f' && fork()) return wait(NULL) < 0;
  for (int i = 0; i < BLOCKS; i++) {
    blocks[i] = make_block((i + 1) * PAGES);
    rest();
  }
  free(blocks[0]);
  rest();
  if (how == 'k') raise(SIGKILL);
  for (int i = 1; i < BLOCKS; i++) printf("%p\n", (void *)blocks[i]);
  return 0;
}
