/* 4-8 */
#include "bug.h"

struct options {
  int level, verbose;
};

int main(int argc, char **argv) {
  struct options *options = get(sizeof *options); /* CULPRIT */
  options->level = 1;
  if (argc > 1 && (options->verbose = atoi(argv[1])) > 3) puts("very");
  printf("%d %d\n", options->level, options->verbose);
}
