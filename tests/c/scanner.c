/* Reads every page of every mapping that can be read, as one who looks for pointers or takes a
 * snapshot does (proc(5)).
 *
 *   scanner pointer     by a pointer
 *   scanner pages       by pread(2) of /proc/self/mem, which may refuse a page
 * Prints "fine" if it has seen every page of the first block. */
#include "check.h"

#include <fcntl.h>

enum { MOST = 4096, PAGE = 4096, BLOCKS = 32, SIZE = 200 << 10 };
static struct { uintptr_t start, end; } mappings[MOST];
static unsigned char *blocks[BLOCKS];

static int find_mappings(void) {
  char line[512], rights[5];
  int count = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(maps);
  while (count < MOST && fgets(line, sizeof line, maps)) {
    uintptr_t *start = &mappings[count].start, *end = &mappings[count].end;
    bool ok = sscanf(line, "%lx-%lx %4s", start, end, rights) == 3 && *rights == 'r';
    count += ok && !strstr(line, "[v") && !strstr(line, "[stack");
  }
  fclose(maps);
  return count;
}

int main(int argc, char **argv) {
  static char page[PAGE];
  CHECK(argc == 2);
  bool by_pointer = !strcmp(argv[1], "pointer");
  for (int i = 0; i < BLOCKS; i++) blocks[i] = memset(malloc(SIZE), 1, 5000);
  free(blocks[5]);
  uintptr_t first = (uintptr_t)blocks[0] / PAGE * PAGE, last = (uintptr_t)blocks[0] + SIZE;
  int count = find_mappings(), memory = open("/proc/self/mem", O_RDONLY), seen = 0;
  CHECK(memory >= 0);
  for (int i = 0; i < count; i++)
    for (uintptr_t at = mappings[i].start; at < mappings[i].end; at += PAGE) {
      bool read = by_pointer || pread(memory, page, PAGE, (off_t)at) == PAGE;
      if (by_pointer) page[0] ^= *(volatile char *)at;
      seen += read && at >= first && at < last;
    }
  CHECK(seen == (int)((last - 1 - first) / PAGE) + 1);
  puts("fine");
  return 0;
}
