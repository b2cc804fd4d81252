/* 16-20 #77777 */
#include "bug.h"

enum { ENTRIES = 100000 };

struct entry {
  long key, spare;
  int weight, unused;
};

int main(void) {
  struct entry **entries = get(ENTRIES * sizeof *entries);
  for (int i = 0; i < ENTRIES; i++) {
    entries[i] = get(sizeof **entries); /* CULPRIT */
    entries[i]->key = i;
  }
  unsigned heavy = 0;
  for (int i = 0; i < ENTRIES; i++)
    if (entries[i]->key == 77776) heavy = (unsigned)entries[i]->weight;
  printf("%d\n", heavy);
}
