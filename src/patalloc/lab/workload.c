/* Workloads for experiments (src/patalloc/lab/workloads.py), each of some tenths of a second:
 *
 *   workload raw SIZE[,SIZE...] LIVE BATCHES DENSITY THREADS    see raw.h
 *   workload vectors COUNT TIMES    longs that are appended to a vector, which doubles by realloc
 */
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZES_MOST = 64, FIRST = 4 };

static int fail(const char *what, int error) {
  fprintf(stderr, "%s: %s\n", what, strerror(error));
  return 1;
}

static int run_raw(char **argv) {
  size_t sizes[SIZES_MOST], count = 0;
  for (char *at = argv[0]; *at && count < SIZES_MOST; at += *at == ',')
    sizes[count++] = strtoul(at, &at, 0);
  struct raw_plan plan = {.sizes = sizes,
                          .sizes_count = count,
                          .live = strtoul(argv[1], NULL, 0),
                          .batches = strtoul(argv[2], NULL, 0),
                          .density = strtod(argv[3], NULL),
                          .threads = (unsigned)atoi(argv[4]),
                          .seed = 1};
  struct raw_times times;
  int error = raw_run(&plan, &times);
  if (error) return fail("raw", error);
  printf("%llu blocks, %llu bytes, %llu pages written\n", (unsigned long long)times.blocks,
         (unsigned long long)times.bytes, (unsigned long long)times.pages);
  return 0;
}

static int grow(size_t count) {
  size_t room = FIRST, sum = 0;
  long *vector = malloc(room * sizeof *vector);
  for (size_t i = 0; vector && i < count; i++) {
    if (i == room) vector = realloc(vector, (room *= 2) * sizeof *vector);
    if (vector) vector[i] = (long)i;
  }
  for (size_t i = 0; vector && i < count; i++) sum += (size_t)vector[i];
  free(vector);
  return sum == count * (count - 1) / 2;
}

static int run_vectors(size_t count, int times) {
  for (int i = 0; i < times; i++)
    if (!grow(count)) return fail("vectors", 12);
  printf("%d vectors of %zu\n", times, count);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 7 && !strcmp(argv[1], "raw")) return run_raw(argv + 2);
  if (argc == 4 && !strcmp(argv[1], "vectors"))
    return run_vectors(strtoul(argv[2], NULL, 0), atoi(argv[3]));
  return fprintf(stderr, "workload raw SIZES LIVE BATCHES DENSITY THREADS | vectors COUNT TIMES\n"),
         2;
}
