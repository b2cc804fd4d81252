/* 1-4 */
#include "bug.h"

struct leaf {
  char kind;
  int value;
};

static unsigned sum;

/* Each path through these two is a call stack of its own. */
static void left(int depth, unsigned path);
static void right(int depth, unsigned path);

#define GO_ON(depth, path)                                                                         \
  left((depth)-1, (path)*2);                                                                       \
  right((depth)-1, (path)*2 + 1);                                                                  \
  __asm__("") /* no tail call */

static void add(struct leaf *leaf, unsigned path) {
  leaf->kind = (char)path;
  leaf->value = 7;
  size_t bytes = path == 2999 ? sizeof *leaf : 1;
  for (size_t i = 0; i < bytes; i++) sum = sum * 31 + ((unsigned char *)leaf)[i];
}

__attribute__((noinline, noclone)) static void left(int depth, unsigned path) {
  if (!depth) return add(get(sizeof(struct leaf)), path);
  GO_ON(depth, path);
}

__attribute__((noinline, noclone)) static void right(int depth, unsigned path) {
  if (!depth) return add(get(sizeof(struct leaf)), path); /* CULPRIT */
  GO_ON(depth, path);
}

int main(void) {
  GO_ON(12, 0);
  printf("%08x\n", sum);
}
