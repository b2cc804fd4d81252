/* One benchmark process: cycles of allocate, write one byte in each of the first pages, free.
 * Prints one JSON line: microseconds a cycle (of one thread), and the peak RSS in KiB.
 *
 *   cycle malloc|anon|memset|refpage SIZE TOUCH CYCLES THREADS
 *   cycle live SIZE COUNT      blocks that all live at once, one page of each written
 *   cycle grow FROM TO STEP    a block that is written as it grows
 *   cycle pairs SIZE FILL CYCLES    small malloc and free, with a memset in between if FILL is 1
 *   cycle start 0 CYCLES       a process that does nothing
 *
 * With DEPTH in the environment, from so many calls deep.
 *
 * anon, memset and refpage are bare mappings, as in the proposal; refpage needs libpatalloc.so. */
#include <dlfcn.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *mode;
static size_t size, touch;
static long cycles;
static int refpage = -1;
static void *(*map_refpage)(int, size_t);

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static char *take(void) {
  if (*mode == 'm' && mode[1] == 'a') return malloc(size);
  if (*mode == 'r') return map_refpage(refpage, size);
  char *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) return NULL;
  if (*mode == 'm') memset(block, 0xab, size);
  return block;
}

static void *work(void *unused) {
  (void)unused;
  for (long i = 0; i < cycles; i++) {
    volatile char *block = take();
    if (!block) fail("allocate");
    for (size_t at = 0; at < touch; at += 4096) block[at] = 0;
    if (*mode == 'm' && mode[1] == 'a')
      free((void *)block);
    else
      munmap((void *)block, size);
  }
  return NULL;
}

static void prepare_refpage(void) {
  static const unsigned char pattern = 0xab;
  int (*create)(const void *, unsigned, unsigned long);
  *(void **)&create = dlsym(RTLD_DEFAULT, "patalloc_refpage_create");
  *(void **)&map_refpage = dlsym(RTLD_DEFAULT, "patalloc_refpage_map");
  if (create) refpage = create(&pattern, 1, 0);
  if (refpage < 0) fail("refpage_create");
}

static double cycle(int threads) {
  pthread_t others[64];
  double start = now();
  for (int i = 1; i < threads; i++)
    if (pthread_create(&others[i], NULL, work, NULL)) fail("pthread_create");
  work(NULL);
  for (int i = 1; i < threads; i++) pthread_join(others[i], NULL);
  return (now() - start) / (double)cycles;
}

static double live(size_t count) {
  char **blocks = calloc(count, sizeof *blocks);
  double start = now();
  for (size_t i = 0; i < count; i++) {
    if (!(blocks[i] = malloc(size))) fail("malloc");
    blocks[i][0] = 1;
  }
  for (size_t i = 0; i < count; i++) free(blocks[i]);
  return (now() - start) / (double)count;
}

static double grow(size_t to, size_t step) {
  double start = now();
  char *block = malloc(size);
  if (!block) fail("malloc");
  memset(block, 1, size);
  for (; size < to; size += step) {
    if (!(block = realloc(block, size + step))) fail("realloc");
    memset(block + size, 1, step);
  }
  free(block);
  return now() - start;
}

static double pairs(int fill) {
  double start = now();
  for (long i = 0; i < cycles; i++) {
    char *block = malloc(size);
    if (!block) fail("malloc");
    if (fill) memset(block, 0xab, size);
    free(block);
  }
  return (now() - start) / (double)cycles;
}

static double starts(long count) {
  char *command[] = {"/bin/true", NULL};
  double start = now();
  for (long i = 0; i < count; i++) {
    pid_t child;
    if (posix_spawn(&child, *command, NULL, NULL, command, environ)) fail("posix_spawn");
    if (waitpid(child, NULL, 0) != child) fail("waitpid");
  }
  return (now() - start) / (double)count;
}

static long peak_rss(void) {
  char line[256];
  long peak = -1;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status)) sscanf(line, "VmHWM: %ld", &peak);
  return peak;
}

static double run(char **argv) {
  mode = argv[1];
  size = strtoul(argv[2], NULL, 0);
  touch = strtoul(argv[3], NULL, 0);
  if (!strcmp(mode, "live")) return live(touch);
  if (!strcmp(mode, "grow")) return grow(touch, strtoul(argv[4], NULL, 0));
  if (!strcmp(mode, "start")) return starts(atol(argv[3]));
  cycles = atol(argv[4]);
  if (!strcmp(mode, "pairs")) return pairs(touch == 1);
  if (*mode == 'r') prepare_refpage();
  return cycle(atoi(argv[5]));
}

/* From so many calls deep: what taking a call stack costs depends on it. */
__attribute__((noinline)) static double run_at(int depth, char **argv) {
  volatile double microseconds = depth ? run_at(depth - 1, argv) : run(argv);
  return microseconds;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  const char *depth = getenv("DEPTH");
  double microseconds = run_at(depth ? atoi(depth) : 0, argv);
  printf("{\"us\": %.4f, \"rss_kib\": %ld}\n", microseconds, peak_rss());
  return 0;
}
