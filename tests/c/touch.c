/* The microbenchmark of the linux-mm proposal, asked of malloc: allocate, store one byte in every
 * page of the first TOUCH bytes, free. Prints microseconds a cycle, and the RSS in KiB at its
 * highest, when the last block is written: page by page, as VmHWM and getrusage(2) are kept by
 * processor in batches since Linux 6.2, and are off by 100 KiB and more.
 *
 *   touch SIZE TOUCH CYCLES */
#include "check.h"

#include <fcntl.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static long rss(void) {
  static char text[4096];
  int rollup = open("/proc/self/smaps_rollup", O_RDONLY);
  CHECK(rollup >= 0 && read(rollup, text, sizeof text - 1) > 0);
  close(rollup);
  const char *line = strstr(text, "Rss:");
  CHECK(line);
  return strtol(line + 4, NULL, 10);
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  size_t size = strtoul(argv[1], NULL, 0), touch = strtoul(argv[2], NULL, 0);
  int cycles = atoi(argv[3]);
  long highest = 0;
  double start = now();
  for (int i = 0; i < cycles; i++) {
    volatile char *block = malloc(size);
    CHECK(block);
    for (size_t at = 0; at < touch; at += 4096) block[at] = 0;
    if (i == cycles - 1) highest = rss();
    free((void *)block);
  }
  double microseconds = (now() - start) / cycles * 1e6;
  printf("{\"us\": %.3f, \"rss_kib\": %ld}\n", microseconds, highest);
  return 0;
}
