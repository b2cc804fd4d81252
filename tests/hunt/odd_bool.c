/* 4-5 */
#include "bug.h"

struct state {
  int count;
  _Bool ready;
};

int main(void) {
  struct state *state = get(sizeof *state); /* CULPRIT */
  state->count = 3;
  unsigned char ready;
  memcpy(&ready, &state->ready, 1);
  printf("%d %d\n", state->count, ready);
}
