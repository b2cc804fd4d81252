/* 300-400 */
#include "bug.h"

struct item {
  struct item *next;
  char name[24];
};

static unsigned digest(unsigned before, const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) before = (before ^ (unsigned char)bytes[i]) * 16777619;
  return before;
}

int main(void) {
  char *header = get(400); /* CULPRIT */
  memset(header, 1, 300);
  struct item *items = NULL;
  for (int i = 0; i < 5000; i++) {
    struct item *item = malloc(sizeof *item);
    item->next = items;
    snprintf(item->name, sizeof item->name, "item %d", i); /* the rest is never written */
    items = item;
  }
  unsigned sum = digest(2166136261, header, 400);
  for (struct item *item = items; item; item = item->next)
    sum = digest(sum, item->name, strlen(item->name));
  printf("%08x\n", sum);
}
