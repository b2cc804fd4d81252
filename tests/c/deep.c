/* Allocates deeper and deeper until the stack is full, which is so many bytes shorter. */
#include "check.h"

#include <alloca.h>

static int go_down(int depth) {
  char *volatile block = malloc(16);
  block[0] = 1;
  return depth ? go_down(depth - 1) + block[0] : block[0];
}

int main(int argc, char **argv) {
  CHECK(argc > 1);
  char *volatile room = alloca((size_t)atoi(argv[1]));
  room[0] = 1;
  return go_down(1 << 30);
}
