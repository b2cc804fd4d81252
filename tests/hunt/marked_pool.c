/* 4-8 */
#include "bug.h"
#include "patalloc.h"

/* An arena of the program's own, which hands out the same memory again and again. */
static char arena[4096];
static size_t used;

static void *take(size_t size) {
  void *taken = &arena[used];
  used += size;
  return taken;
}

struct entry {
  int key, value;
};

__attribute__((noinline)) static struct entry *make(int key) {
  struct entry *entry = take(sizeof *entry);
#ifdef FIXED
  entry->value = 0;
#else
  patalloc_fresh(entry, sizeof *entry); /* CULPRIT */
#endif
  entry->key = key;
  return entry;
}

int main(void) {
  memset(get(100), 0, 100);
  for (int i = 0; i < 100; i++) *make(i) = (struct entry){i, i};
  used = 0;
  struct entry *entry = make(7);
  printf("%d\n", entry->key + entry->value);
  return 0;
}
