/* One benchmark process: cycles of allocate, touch the first pages, free. Prints one JSON line:
 * microseconds and page faults a cycle; and of a block that is touched, KiB of RSS and VMAs. What a
 * heap does at first, such as making longer files, is over by then.
 *
 *   backends malloc|anon|memset SIZE TOUCH write|read CYCLES
 *
 * write stores one byte in each page, read loads one before. anon and memset are bare mappings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

enum { WARM_UP = 300 };
static const char *mode, *order;
static size_t size, touch;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static char *take(void) {
  if (!strcmp(mode, "malloc")) return malloc(size);
  char *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) fail("mmap");
  if (!strcmp(mode, "memset")) memset(block, 0xab, size);
  return block;
}

static void give(char *block) {
  if (!strcmp(mode, "malloc"))
    free(block);
  else
    munmap(block, size);
}

static char *use(size_t touched) {
  char *block = take();
  if (!block) fail("allocate");
  for (size_t at = 0; at < touched; at += 4096) {
    volatile char *byte = block + at;
    if (*order == 'r') (void)*byte;
    *byte = 1;
  }
  return block;
}

static long rss_kib(void) {
  char line[256];
  long rss = -1;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status)) sscanf(line, "VmRSS: %ld", &rss);
  if (status) fclose(status);
  return rss;
}

static int vmas(void) {
  int count = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  for (int c; maps && (c = getc(maps)) != EOF;) count += c == '\n';
  if (maps) fclose(maps);
  return count;
}

static long faults(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  mode = argv[1];
  size = strtoul(argv[2], NULL, 0);
  touch = strtoul(argv[3], NULL, 0);
  order = argv[4];
  long cycles = atol(argv[5]);
  if (!strcmp(mode, "malloc")) free(malloc(200000));
  rss_kib(), vmas(); /* what reading them takes */
  long rss = rss_kib();
  int mappings = vmas();
  for (int i = 0; i < WARM_UP && !strcmp(mode, "malloc"); i++) give(use(1));
  long taken = faults();
  double start = now();
  for (long i = 0; i < cycles; i++) give(use(touch));
  double end = now();
  taken = faults() - taken;
  char *block = use(touch);
  mappings = vmas() - mappings;
  rss = rss_kib() - rss;
  give(block);
  printf("{\"us\": %.4f, \"rss_kib\": %ld, \"vmas\": %d, \"faults\": %.2f}\n",
         (end - start) / (double)cycles, rss, mappings, (double)taken / (double)cycles);
  return 0;
}
