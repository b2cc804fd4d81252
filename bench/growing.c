/* Growing vectors and blocks of random sizes, one benchmark process: CPU microseconds in all, and
 * the peak RSS in KiB, as one JSON line.
 *
 *   growing doubled COUNT THREADS   vectors of so many longs that double by realloc; threads make
 * three growing copied COUNT ROUNDS     one after the other, that double by malloc, copy and free,
 * as C++'s growing churn OPERATIONS MOST   64 live blocks of 128 KiB and up to MOST bytes more, by
 * chance; two pages of each are written */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { FIRST = 4, THREADS_MOST = 16 };

static long count;

static void need(const void *pointer) {
  if (pointer) return;
  fputs("no memory\n", stderr);
  exit(1);
}

static long *grown(long *vector, long have, int by_realloc) {
  size_t size = 2 * (size_t)have * sizeof *vector;
  long *larger = by_realloc ? realloc(vector, size) : malloc(size);
  need(larger);
  if (by_realloc) return larger;
  memcpy(larger, vector, size / 2);
  free(vector);
  return larger;
}

static void make_vector(int by_realloc) {
  long room = FIRST, sum = 0, *vector = malloc(FIRST * sizeof *vector);
  need(vector);
  for (long i = 0; i < count; i++) {
    if (i == room) vector = grown(vector, room, by_realloc), room *= 2;
    vector[i] = i;
  }
  for (long i = 0; i < count; i++) sum += vector[i];
  if (sum != count * (count - 1) / 2) abort();
  free(vector);
}

static void *make_three(void *unused) {
  for (int i = 0; i < 3; i++) make_vector(1);
  return unused;
}

static void doubled(int threads) {
  pthread_t made[THREADS_MOST];
  if (!threads) return make_vector(1);
  for (int i = 0; i < threads; i++) pthread_create(&made[i], NULL, make_three, NULL);
  for (int i = 0; i < threads; i++) pthread_join(made[i], NULL);
}

static unsigned chance(void) {
  static unsigned state = 1;
  return (state = state * 1103515245 + 12345) >> 8;
}

static void churn(long operations, size_t most) {
  enum { LIVE = 64, LEAST = 128 << 10 };
  static char *blocks[LIVE];
  for (long i = 0; i < operations; i++) {
    char **block = &blocks[chance() >> 18];
    size_t size = LEAST + chance() % most;
    free(*block);
    need(*block = malloc(size));
    (*block)[0] = (*block)[size / 2] = 1;
  }
}

/* Not getrusage(2)'s, which is that of whoever called exec(2), if it was more. */
static long peak_kib(void) {
  char text[4096] = "";
  FILE *status = fopen("/proc/self/status", "r");
  if (!status || !fread(text, 1, sizeof text - 1, status)) abort();
  return strtol(strstr(text, "VmHWM:") + 6, NULL, 10);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  count = atol(argv[2]);
  long number = atol(argv[3]);
  if (!strcmp(argv[1], "doubled")) doubled((int)number);
  if (!strcmp(argv[1], "copied"))
    for (long i = 0; i < number; i++) make_vector(0);
  if (!strcmp(argv[1], "churn")) churn(count, (size_t)number);
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double us = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
              (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
  printf("{\"us\": %.0f, \"rss_kib\": %ld}\n", us, peak_kib());
  return 0;
}
