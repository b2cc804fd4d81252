/* What a bare mapping costs, by what its pages come from. One process, one JSON line: microseconds
 * a cycle of map, use, unmap; and of a mapping that was used what the process has more: VMAs, page
 * faults, and KiB of RSS, of PSS and of page tables.
 *
 *   mappings KIND SIZE TOUCH write|read|look CYCLES [NUMBER]
 *
 * KIND: anon, memset, memfd (one of 128 KiB, span by span), call (the system call NUMBER), wrap
 * (MFD_MMAP_WRAP), device (/dev/refpage). write stores a byte in each page of TOUCH, read loads one
 * before, look only loads. */
#include "../kernel/refpage_ioctl.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, SPAN = 131072, WRAP = 0x20 };
static const unsigned char pattern = 0xab;
static const char *kind, *order;
static size_t size, touch, span; /* a mapping is one VMA where span is 0 */
static int descriptor = -1;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int make_memfd(size_t length, unsigned flags) {
  char page[PAGE];
  int made = memfd_create("mappings", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
  memset(page, pattern, sizeof page);
  for (size_t at = 0; at < length; at += PAGE)
    if (pwrite(made, page, PAGE, (off_t)at) != PAGE) fail("memfd");
  if (fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)) fail("F_ADD_SEALS");
  return made;
}

static int make_by_device(void) {
  struct refpage_request request = {(uintptr_t)&pattern, 1, 0};
  int device = open("/dev/refpage", O_RDONLY), made = ioctl(device, REFPAGE_CREATE, &request);
  close(device);
  return made;
}

static void choose(const char *number) {
  if (!strcmp(kind, "anon") || !strcmp(kind, "memset")) return;
  if (!strcmp(kind, "memfd")) descriptor = make_memfd(span = SPAN, 0);
  if (!strcmp(kind, "wrap")) descriptor = make_memfd(PAGE, WRAP);
  if (!strcmp(kind, "device")) descriptor = make_by_device();
  if (!strcmp(kind, "call")) descriptor = (int)syscall(atol(number), &pattern, 1u, 0ul);
  if (descriptor < 0) fail(kind);
}

static char *map(char *at, size_t length) {
  int flags = MAP_PRIVATE | MAP_NORESERVE | (at ? MAP_FIXED : 0);
  if (descriptor < 0 || !at) flags |= MAP_ANONYMOUS;
  int from = flags & MAP_ANONYMOUS ? -1 : descriptor;
  char *mapped = mmap(at, length, PROT_READ | PROT_WRITE, flags, from, 0);
  if (mapped == MAP_FAILED) fail("mmap");
  return mapped;
}

static char *take(void) {
  size_t step = span ? span : size;
  char *block = map(NULL, size);
  for (size_t at = 0; descriptor >= 0 && at < size; at += step)
    map(block + at, size - at < step ? size - at : step);
  if (!strcmp(kind, "memset")) memset(block, pattern, size);
  return block;
}

static void use(char *block) {
  for (size_t at = 0; at < touch; at += PAGE) {
    volatile char *byte = block + at;
    if (*order != 'w') (void)*byte;
    if (*order != 'l') *byte = 1;
  }
}

struct figures {
  long vmas, faults, rss, pss, tables;
};

static long number_in(const char *path, const char *format) {
  char line[256];
  long found = -1;
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, format, &found) == 1) break;
  if (file) fclose(file);
  return found;
}

static long lines_of(const char *path) {
  long count = 0;
  FILE *file = fopen(path, "r");
  for (int c; file && (c = getc(file)) != EOF;) count += c == '\n';
  if (file) fclose(file);
  return count;
}

static long faults(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

static struct figures figures(void) {
  return (struct figures){
      .vmas = lines_of("/proc/self/maps"),
      .rss = number_in("/proc/self/smaps_rollup", "Rss: %ld"),
      .pss = number_in("/proc/self/smaps_rollup", "Pss: %ld"),
      .tables = number_in("/proc/self/status", "VmPTE: %ld"),
      .faults = faults(),
  };
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  kind = argv[1], order = argv[4];
  size = strtoul(argv[2], NULL, 0), touch = strtoul(argv[3], NULL, 0);
  long cycles = atol(argv[5]);
  choose(argc > 6 ? argv[6] : "0");
  figures(); /* what reading them takes once */
  struct figures before = figures();
  char *block = take();
  use(block);
  long taken = faults() - before.faults;
  struct figures after = figures();
  munmap(block, size);
  double start = now();
  for (long i = 0; i < cycles; i++) {
    block = take();
    use(block);
    munmap(block, size);
  }
  printf("{\"us\": %.2f, \"vmas\": %ld, \"faults\": %ld, \"rss\": %ld, \"pss\": %ld, "
         "\"tables\": %ld}\n",
         (now() - start) / (double)cycles, after.vmas - before.vmas, taken, after.rss - before.rss,
         after.pss - before.pss, after.tables - before.tables);
  return 0;
}
