/* The microbenchmark of the linux-mm proposal, asked of malloc: allocate, store one byte in every
 * page of the first TOUCH bytes, free. Prints microseconds a cycle and the peak RSS in KiB (VmHWM:
 * a getrusage(2) maximum would be inherited through exec).
 *
 *   touch SIZE TOUCH CYCLES */
#include "check.h"

#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static long peak_rss(void) {
  char line[256];
  long peak = -1;
  FILE *status = fopen("/proc/self/status", "r");
  CHECK(status);
  while (fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %ld", &peak);
  fclose(status);
  return peak;
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  size_t size = strtoul(argv[1], NULL, 0), touch = strtoul(argv[2], NULL, 0);
  int cycles = atoi(argv[3]);
  double start = now();
  for (int i = 0; i < cycles; i++) {
    volatile char *block = malloc(size);
    CHECK(block);
    for (size_t at = 0; at < touch; at += 4096) block[at] = 0;
    free((void *)block);
  }
  double microseconds = (now() - start) / cycles * 1e6;
  printf("{\"us\": %.3f, \"rss_kib\": %ld}\n", microseconds, peak_rss());
  return 0;
}
