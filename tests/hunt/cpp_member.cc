/* 4-8 */
#include "bug.h"

struct Counter {
  int from;
#ifdef FIXED
  int step = 0;
#else
  int step;
#endif
  explicit Counter(int start) : from(start) {}
};

__attribute__((noinline)) static Counter *make(int from) {
  return new Counter(from); /* CULPRIT */
}

int main() {
  Counter *counter = make(1);
  printf("%d\n", counter->from + counter->step);
  delete counter;
}
