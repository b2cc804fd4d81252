/* 5-6 */
#include "bug.h"

int main(void) {
  char *name = get(16); /* CULPRIT */
  strncpy(name, "hello", 5);
  name[6] = 0;
  puts(name);
}
