/* What a program gets where the system sets limits: each case prints one line, how much of what it
 * asks for it has had (all of it, where that is "ok").
 *
 *   limits CASE [MIB]    with an address-space limit of so many MiB, set by itself where it says so
 */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { MIB = 1 << 20, MOST = 1 << 16 };

static size_t limit;

static void set_limit(int resource, size_t value) {
  struct rlimit rlimit;
  CHECK(!getrlimit(resource, &rlimit));
  rlimit.rlim_cur = value;
  CHECK(!setrlimit(resource, &rlimit));
}

static bool get(size_t size) {
  char *block = malloc(size);
  if (block) block[0] = block[size - 1] = 1;
  free(block);
  return block;
}

/* How many of that size live at a time, touched. */
static int fill(size_t size, int most) {
  static char *blocks[MOST];
  int made = 0;
  while (made < most && (blocks[made] = malloc(size))) blocks[made++][0] = 1;
  for (int i = 0; i < made; i++) free(blocks[i]);
  return made;
}

static void one_block(void) {
  set_limit(RLIMIT_AS, limit);
  size_t part = 16;
  while (part && !get(limit / 16 * part)) part--;
  printf("%zu of 16 parts in one block\n", part);
}

static void many_blocks(void) {
  set_limit(RLIMIT_AS, limit);
  printf("%d blocks of 10 MiB\n", fill(10 * MIB, MOST));
}

static void *nothing(void *unused) {
  return unused;
}

/* More than there may be mappings; a mapping and a thread beside them. */
static void many_small_blocks(void) {
  enum { SIZE = 140000, COUNT = 100000 };
  static char *blocks[COUNT];
  pthread_t thread;
  int made = 0;
  set_limit(RLIMIT_AS, limit);
  while (made < COUNT && (blocks[made] = malloc(SIZE))) made++;
  bool has_thread = !pthread_create(&thread, NULL, nothing, NULL) && !pthread_join(thread, NULL);
  while (made && !blocks[made - 1]) made--;
  printf("%d blocks, %d thread\n", made, has_thread);
}

static void many_data(void) {
  set_limit(RLIMIT_DATA, limit);
  printf("%d blocks of 1 MiB\n", fill(MIB, MOST));
}

/* What was freed serves larger requests, one after the other. */
static void idle(void) {
  set_limit(RLIMIT_AS, limit);
  int had = 0;
  for (size_t size = limit / 16; size < limit / 2; size += limit / 16) had += get(size);
  printf("%d of 7 sizes\n", had);
}

/* What was freed serves small ones, which are not ours. */
static void small_ones(void) {
  set_limit(RLIMIT_AS, limit);
  int blocks = fill(3 * MIB, MOST);
  printf("%d blocks, %d small ones\n", blocks, fill(100000, MOST));
}

static void later(void) {
  extern char **environ;
  char *command[] = {"true", NULL};
  pthread_t thread;
  pid_t child;
  free(malloc(MIB));
  set_limit(RLIMIT_AS, limit);
  int blocks = fill(MIB, 100), small = fill(1000, 20000);
  bool has_thread = !pthread_create(&thread, NULL, nothing, NULL) && !pthread_join(thread, NULL);
  bool has_child = !posix_spawnp(&child, *command, NULL, NULL, command, environ) &&
                   waitpid(child, NULL, 0) == child;
  printf("%d blocks, %d small ones, %d thread, %d child\n", blocks, small, has_thread, has_child);
}

static void file_size(void) {
  set_limit(RLIMIT_FSIZE, 1 * MIB);
  int blocks = fill(8 * MIB, 100);
  set_limit(RLIMIT_FSIZE, 0);
  printf("%d blocks\n", blocks + fill(16 * MIB, 10));
}

static long figure_kib(const char *path, const char *key) {
  static char text[8192];
  int file = open(path, O_RDONLY);
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  CHECK(length > 0);
  const char *line = strstr(text, key);
  return line ? strtol(line + strlen(key), NULL, 10) : -1;
}

static long status_kib(const char *key) {
  return figure_kib("/proc/self/status", key);
}

/* Where all that may be written is charged (vm.overcommit_memory=2), what lies idle is, too. */
static void committed(void) {
  static const char meminfo[] = "/proc/meminfo";
  size_t room = (figure_kib(meminfo, "CommitLimit:") - figure_kib(meminfo, "Committed_AS:")) << 10;
  int had = 0;
  for (size_t part = 3; part < 14; part++) had += get(room / 16 * part);
  printf("%d of 11 sizes, %d blocks\n", had, fill(room / 16, 15));
}

/* As an ordinary user, who may lock 8 MiB: what is there already. */
static void lock_current(void) {
  free(malloc(MIB));
  if (!geteuid()) CHECK(!setuid(65534));
  set_limit(RLIMIT_MEMLOCK, 8 * MIB);
  printf("%s\n", mlockall(MCL_CURRENT) ? "refused" : "ok");
}

/* What comes is locked, and there. */
static void lock_future(void) {
  enum { COUNT = 20 };
  char *blocks[COUNT];
  free(malloc(MIB));
  CHECK(!mlockall(MCL_CURRENT | MCL_FUTURE));
  long locked = status_kib("VmLck:"), resident = status_kib("VmRSS:");
  for (int i = 0; i < COUNT; i++) blocks[i] = malloc(MIB);
  locked = status_kib("VmLck:") - locked, resident = status_kib("VmRSS:") - resident;
  for (int i = 0; i < COUNT; i++) free(blocks[i]);
  printf("%ld of 20 MiB locked, %ld resident\n", locked >> 10, resident >> 10);
}

/* The program takes all mappings but a few. With those blocks are made, as many as can be, and
 * freed: then there is nothing live, and one of another size can be had, as can a mapping. */
static void mappings(void) {
  enum { PAGE = 4096, FEW = 100 };
  static void *pages[MOST];
  int made = 0;
  for (; made < MOST; made++) {
    int protection = made % 2 ? PROT_READ : PROT_NONE;
    pages[made] = mmap(NULL, PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages[made] == MAP_FAILED) break;
  }
  for (int i = 0; i < FEW; i++) munmap(pages[--made], PAGE);
  fill(200000, 400);
  int had = get(5 * MIB);
  void *own = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  while (made) munmap(pages[--made], PAGE);
  printf("%d block, %d mapping, %d block later\n", had, own != MAP_FAILED, get(64 * MIB));
}

static void descriptors(void) {
  struct rlimit before;
  CHECK(!getrlimit(RLIMIT_NOFILE, &before));
  set_limit(RLIMIT_NOFILE, 3);
  int blocks = fill(MIB, 10);
  CHECK(!setrlimit(RLIMIT_NOFILE, &before));
  sleep(2);
  printf("%d blocks\n", blocks + fill(MIB, 200));
}

/* Address space of a process with one block, in whole MiB above what it had. */
static void address_space(void) {
  long before = status_kib("VmSize:");
  char *block = malloc(5 * MIB);
  block[0] = 1;
  long after = status_kib("VmSize:");
  free(block);
  printf("%s\n", after - before <= (5 + 8) << 10 ? "ok" : "too much");
}

static const struct test_case cases[] = {
    {"one_block", one_block},
    {"many_blocks", many_blocks},
    {"many_small_blocks", many_small_blocks},
    {"many_data", many_data},
    {"idle", idle},
    {"small_ones", small_ones},
    {"later", later},
    {"file_size", file_size},
    {"committed", committed},
    {"lock_current", lock_current},
    {"lock_future", lock_future},
    {"mappings", mappings},
    {"descriptors", descriptors},
    {"address_space", address_space},
};

int main(int argc, char **argv) {
  CHECK(argc >= 2);
  limit = (argc > 2 ? strtoul(argv[2], NULL, 0) : 1024) * MIB;
  RUN_CASE(cases, argv[1]);
  return 0;
}
