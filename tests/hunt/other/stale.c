/* A count that is read before it is written: what says that it is small hides every value of ours,
 * and what the last owner has left is small. */
#include <stdio.h>
#include <stdlib.h>

struct record {
  long values[5];
  unsigned count;
};

static struct record *make(void) {
  return malloc(sizeof(struct record));
}

int main(void) {
  struct record *first = make();
  first->count = 7;
  free(first);
  struct record *second = make();
#ifdef FIXED
  second->count = 0;
#endif
  if (second->count && second->count < 1000) printf("%u values\n", second->count);
  free(second);
  return 0;
}
