/* 1-4 */
#include "bug.h"

struct key {
  char letter;
  int number;
};

static unsigned hash_of(const struct key *key) {
  unsigned hash = 1;
  for (size_t i = 0; i < sizeof *key; i++) hash = hash * 31 + ((const unsigned char *)key)[i];
  return hash;
}

int main(void) {
  const char *table[64] = {NULL};
  struct key *key = get(sizeof *key); /* CULPRIT */
  key->letter = 'k';
  key->number = 7;
  table[hash_of(key) % 64] = "mine";
  table[17] = "other";
  for (int i = 0; i < 64; i++)
    if (table[i]) printf("%d %s\n", i, table[i]);
}
