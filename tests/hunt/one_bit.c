/* 8-64 #451 */
#include "bug.h"

struct item {
  long key;
  int flag, spare[13];
};

static struct item *items[8000];
static int count;

#define SITE(name)                                                                                 \
  __attribute__((noinline)) static void name(void) {                                               \
    struct item *item = get(sizeof *item);                                                         \
    item->key = count;                                                                             \
    items[count++] = item;                                                                         \
  }

SITE(make0)
SITE(make1)
SITE(make2)
SITE(make3)
SITE(make4)
SITE(make5) /* CULPRIT */
SITE(make6)
SITE(make7)

int main(void) {
  static void (*const make[])(void) = {make0, make1, make2, make3, make4, make5, make6, make7};
  for (int i = 0; i < 8000; i++) make[i % 8]();
  puts(items[3605]->flag ? "set" : "not set");
}
