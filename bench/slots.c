/* What guards for small blocks take: memory, mappings and processor time.
 *
 *   slots live COUNT          so many blocks of 24 bytes that are live
 *   slots stragglers CHUNKS   one of 256 blocks lives on, so many times
 *   slots random THREADS      blocks of 16 to 511 bytes, 2,000 of a thread, replaced by chance
 *
 * Prints one JSON line: bytes of RSS and of page tables a block (a straggler), mappings, and
 * microseconds of processor time a block or pair. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double cpu(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

static long of_status(const char *key) {
  char line[256];
  long value = 0;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status))
    if (!strncmp(line, key, strlen(key))) value = strtol(line + strlen(key), NULL, 10);
  if (status) fclose(status);
  return value * 1024;
}

static long mappings(void) {
  int c;
  long lines = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  while (maps && (c = getc(maps)) != EOF) lines += c == '\n';
  if (maps) fclose(maps);
  return lines;
}

static void **keep;

static void live(long count) {
  for (long i = 0; i < count; i++) *(char *)(keep[i] = malloc(24)) = 1;
}

static void stragglers(long chunks) {
  enum { OTHERS = 255 };
  void *others[OTHERS];
  for (long i = 0; i < chunks; i++) {
    keep[i] = malloc(24);
    for (int k = 0; k < OTHERS; k++) *(char *)(others[k] = malloc(24)) = 1;
    for (int k = 0; k < OTHERS; k++) free(others[k]);
  }
}

enum { LIVE = 2000, PAIRS = 1000000 };

static void *replace(void *seed) {
  static _Thread_local void *blocks[LIVE];
  uint64_t state = (uintptr_t)seed + 1;
  for (long i = 0; i < PAIRS; i++) {
    state = state * 6364136223846793005 + 1442695040888963407;
    void **block = &blocks[(state >> 33) % LIVE];
    size_t size = 16 + (state >> 50) % 496;
    free(*block);
    memset(*block = malloc(size), 1, size);
  }
  return NULL;
}

static void random_pairs(long threads) {
  pthread_t ids[64];
  for (long i = 1; i < threads; i++)
    if (pthread_create(&ids[i], NULL, replace, (void *)i)) exit(1);
  replace(NULL);
  for (long i = 1; i < threads; i++) pthread_join(ids[i], NULL);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  long count = atol(argv[2]), units = argv[1][0] == 'r' ? count * PAIRS : count;
  if (!(keep = malloc((size_t)(count + 1) * sizeof *keep))) return 1;
  memset(keep, 0, (size_t)(count + 1) * sizeof *keep);
  long rss = of_status("VmRSS:"), tables = of_status("VmPTE:");
  double start = cpu();
  (argv[1][0] == 'l' ? live : argv[1][0] == 's' ? stragglers : random_pairs)(count);
  double took = cpu() - start;
  printf("{\"us\": %.4f, \"rss\": %.1f, \"tables\": %.1f, \"mappings\": %ld}\n",
         took / (double)units, (double)(of_status("VmRSS:") - rss) / (double)units,
         (double)(of_status("VmPTE:") - tables) / (double)units, mappings());
  return 0;
}
