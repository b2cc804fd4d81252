/* 0-10 0-20 together */
#include "bug.h"

int main(void) {
  char *one = get(10);   /* CULPRIT */
  char *other = get(20); /* CULPRIT */
  puts(one[0] && other[0] ? "both" : "not both");
}
