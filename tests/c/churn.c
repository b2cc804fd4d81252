/* Blocks of many sizes that come and go, in phases, all of them written; keeps what is left.
 * argument: how many there are at a time */
#include "check.h"

int main(int argc, char **argv) {
  CHECK(argc == 2);
  int most = atoi(argv[1]);
  char **blocks = calloc((size_t)most, sizeof *blocks);
  unsigned state = 1;
  for (int phase = 0; phase < 4; phase++) {
    for (int i = 0; i < most * 3; i++) {
      state = state * 1664525 + 1013904223;
      int place = (int)(state >> 8) % most;
      unsigned kind = state >> 29;
      size_t size = kind < 6   ? 16 + (state >> 4 & 255)
                    : kind < 7 ? 300 + (state >> 4 & 4095)
                               : 9000 + (state >> 4 & 8191);
      free(blocks[place]);
      blocks[place] = malloc(size);
      CHECK(blocks[place]);
      memset(blocks[place], 1, size);
    }
    for (int i = phase % 2; i < most; i += 2) {
      free(blocks[i]);
      blocks[i] = NULL;
    }
  }
  return 0;
}
