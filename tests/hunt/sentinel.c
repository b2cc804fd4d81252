/* 0-8 */
#include "bug.h"

/* -1 is for none, and what is more than there is as well; only less than that shows. */
int main(void) {
  int *entry = get(8); /* CULPRIT */
  entry[0] = 3;
  int number = entry[1] > 10 ? -1 : entry[1];
  puts(number < -1 ? "less than none" : "fine");
  return 0;
}
