/* How many bytes live at a time under a limit, one benchmark process: blocks of sizes by chance
 * (each doubling of sizes as often as another) are made until twenty requests have failed; half of
 * them, by chance, are freed, and others of other sizes made; the same again; all are freed, and
 * blocks of one size made. Prints the bytes of each of the four as a JSON list.
 *
 *   limited as|data LIMIT LEAST MOST SEED */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { BLOCKS_MOST = 1 << 18, FAILURES = 20 };

static struct {
  char *start;
  size_t size;
} blocks[BLOCKS_MOST];
static unsigned count;
static size_t live;
static unsigned long state;

static unsigned chance(void) {
  state = state * 6364136223846793005ul + 1442695040888963407ul;
  return (unsigned)(state >> 33);
}

static void fill(size_t least, size_t most) {
  for (int failures = 0; failures < FAILURES && count < BLOCKS_MOST;) {
    double share = (chance() & 0xffffff) / 16777216.0;
    size_t size = (size_t)((double)least * pow((double)most / (double)least, share));
    char *start = malloc(size);
    if (!start) {
      failures++;
      continue;
    }
    start[0] = start[size - 1] = 1;
    blocks[count].start = start;
    blocks[count++].size = size;
    live += size;
  }
}

static void drop(unsigned index) {
  free(blocks[index].start);
  live -= blocks[index].size;
  blocks[index] = blocks[--count];
}

static void drop_half(void) {
  for (unsigned i = 0; i < count;)
    if (chance() & 1)
      drop(i);
    else
      i++;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  size_t limit = strtoul(argv[2], NULL, 0), least = strtoul(argv[3], NULL, 0),
         most = strtoul(argv[4], NULL, 0), had[4];
  state = strtoul(argv[5], NULL, 0) * 77 + 5;
  struct rlimit rlimit = {limit, limit};
  if (setrlimit(strcmp(argv[1], "as") ? RLIMIT_DATA : RLIMIT_AS, &rlimit)) return 1;
  fill(least, most);
  had[0] = live;
  drop_half();
  fill(least * 3 / 2, most / 3 > least * 3 / 2 ? most / 3 : least * 2);
  had[1] = live;
  drop_half();
  fill(least, most);
  had[2] = live;
  while (count) drop(count - 1);
  fill(limit / 16, limit / 16 + 1);
  had[3] = live;
  printf("[%zu, %zu, %zu, %zu]\n", had[0], had[1], had[2], had[3]);
  return 0;
}
