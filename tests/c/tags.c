/* What tags promise, on a machine with Arm's Memory Tagging Extension. Prints a line a check.
 *
 *   tags OPTIONS [ACT | user]    linked with the core; `user`: without what QEMU's user mode lacks
 */
#include "os/mte.h"
#include "patalloc.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SEGV_MTESERR
#define SEGV_MTESERR 9
#endif

static patalloc_heap *heap;
static const char *options; /* besides tag */
static size_t page;
static unsigned pattern = 0xab;
static bool failed;

static void check(const char *what, bool holds) {
  printf("%s tags [%s] %s\n", holds ? "PASS" : "FAIL", options, what);
  fflush(stdout);
  failed |= !holds;
}

/* All options for a heap: those given and some more. */
static const char *with(const char *more) {
  static char all[256];
  snprintf(all, sizeof all, "%s%s%s", more, *more && *options ? ":" : "", options);
  return all;
}

/* Faults */

static _Thread_local sigjmp_buf escape;
static _Thread_local volatile int fault_code;
static _Thread_local volatile bool expected;

static void on_fault(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)context;
  fault_code = info->si_code;
  if (expected) siglongjmp(escape, 1);
  fprintf(stderr, "unexpected fault, si_code %d, at %p\n", info->si_code, info->si_addr);
  _exit(3);
}

/* The si_code of the fault that an access takes; 0 for none. */
static int load(const void *at) {
  fault_code = 0;
  expected = true;
  if (!sigsetjmp(escape, 1)) (void)*(const volatile char *)at;
  expected = false;
  return fault_code;
}

static int store(void *at, char value) {
  fault_code = 0;
  expected = true;
  if (!sigsetjmp(escape, 1)) *(volatile char *)at = value;
  expected = false;
  return fault_code;
}

static bool faults(void *at) {
  return load(at) && store(at, 1);
}

static bool mismatches(void *at) {
  return load(at) == SEGV_MTESERR && store(at, 1) == SEGV_MTESERR;
}

/* Blocks */

static void *with_tag(const void *pointer, unsigned tag) {
  return (void *)mte_with_tag(mte_untag((uintptr_t)pointer), tag);
}

static unsigned tag_of(const void *pointer) {
  return mte_tag_of((uintptr_t)pointer);
}

static unsigned tag_at(const void *pointer) {
  return mte_tag_at(mte_untag((uintptr_t)pointer));
}

static size_t usable(const void *block) {
  return patalloc_usable_size(heap, (void *)(uintptr_t)block);
}

/* In each page's first and last 16 bytes, of all that can be used. */
static bool is_tagged(const char *block, size_t size) {
  unsigned tag = tag_of(block);
  for (size_t at = 0; at < size; at += 16)
    if ((at < page || at % page < 32 || at % page >= page - 32 || size - at <= page) &&
        tag_at(block + at) != tag)
      return false;
  return tag_at(block + size - 1) == tag;
}

static bool reads(const char *at, size_t size, unsigned value) {
  return (unsigned char)*at == value && !memcmp(at, at + 1, size - 1);
}

static bool is_beside(const char *at) {
  return faults(with_tag(at, tag_of(at))) || tag_at(at) != tag_of(at);
}

static bool edges_differ(char *block) {
  return is_beside(block - 1) && is_beside(block + usable(block)) && faults(block - 1) &&
         faults(block + usable(block));
}

static bool is_fresh(char *block, size_t size) {
  return is_tagged(block, size) && reads(block, size, pattern) && edges_differ(block);
}

/* Checks */

static void check_fresh_blocks(void) {
  static const size_t sizes[] = {128 << 10, 200001, 1000000, 4096000, (5 << 20) + 48};
  bool fresh = true, random = false;
  unsigned first = MTE_TAGS;
  for (int round = 0; round < 8; round++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      char *block = patalloc_malloc(heap, sizes[i]);
      fresh &= block && tag_of(block) && is_fresh(block, sizes[i]);
      if (first == MTE_TAGS) first = tag_of(block);
      random |= tag_of(block) != first;
      patalloc_free(heap, block);
    }
  check("fresh blocks have one tag and the pattern, beside them is another", fresh);
  check("tags differ from block to block", random);
}

static void check_accesses(void) {
  char *block = patalloc_malloc(heap, 1 << 20), *other = with_tag(block, tag_of(block) ^ 1);
  check("loads and stores by the right tag", !load(block + page) && !store(block + 3 * page, 7));
  check("the first store copies the page with tag and pattern",
        block[3 * page] == 7 && (unsigned char)block[3 * page + 1] == pattern &&
            tag_at(block + 3 * page) == tag_of(block) &&
            tag_at(block + 4 * page - 16) == tag_of(block));
  check("by a wrong tag they fault, on untouched pages and on copied ones",
        mismatches(other + page) && mismatches(other + 3 * page));
  char *twin = patalloc_malloc(heap, 1 << 20);
  uintptr_t copied = mte_untag((uintptr_t)block + 3 * page);
  mte_tag(copied, copied + 16, tag_of(block) ^ 2);
  check("a tag that is stored changes the copied page alone",
        tag_at(block + 3 * page) != tag_of(block) &&
            tag_at(block + 3 * page + 16) == tag_of(block) &&
            tag_at(block + 5 * page) == tag_of(block) && is_fresh(twin, 1 << 20));
  patalloc_free(heap, twin);
  patalloc_free(heap, block);
}

static void check_free(void) {
  bool stale = true, differs = true, same_place = false;
  for (int round = 0; round < 20; round++) {
    size_t size = round % 2 ? 300000 : 2 << 20;
    char *block = patalloc_malloc(heap, size);
    memset(block, 7, size);
    patalloc_free(heap, block);
    stale &= faults(block) && faults(block + size - 1) && faults(block + size / 2);
    char *next = patalloc_malloc(heap, size);
    if (mte_untag((uintptr_t)next) == mte_untag((uintptr_t)block)) {
      same_place = true;
      differs &= tag_of(next) != tag_of(block);
      stale &= mismatches(block) && mismatches(block + size - 1);
    }
    stale &= is_fresh(next, size);
    patalloc_free(heap, next);
  }
  check("stale pointers fault after free, and after the place is used again", stale);
  check("no tag comes twice in a row at an address", same_place && differs);
}

enum { MANY = 60 };

static int by_address(const void *a, const void *b) {
  uintptr_t x = mte_untag((uintptr_t) * (char *const *)a),
            y = mte_untag((uintptr_t) * (char *const *)b);
  return x < y ? -1 : x > y;
}

static bool neighbours_differ(char **blocks) {
  qsort(blocks, MANY, sizeof *blocks, by_address);
  for (int i = 1; i < MANY; i++)
    if (tag_of(blocks[i]) == tag_of(blocks[i - 1])) return false;
  return true;
}

static void check_neighbours(void) {
  static const size_t sizes[] = {128 << 10, 200000, 3 << 20};
  bool differ = true;
  for (int i = 0; i < 3; i++) {
    char *blocks[MANY];
    patalloc_release(heap); /* what is freed lies between */
    for (int j = 0; j < MANY; j++) blocks[j] = patalloc_malloc(heap, sizes[i]);
    differ &= neighbours_differ(blocks);
    for (int j = 0; j < MANY; j += 1 + j % 3) {
      patalloc_free(heap, blocks[j]);
      blocks[j] = patalloc_malloc(heap, sizes[i]);
    }
    differ &= neighbours_differ(blocks);
    for (int j = 0; j < MANY; j++) patalloc_free(heap, blocks[j]);
  }
  check("neighbours' tags differ", differ);
}

static void check_realloc(void) {
  bool kept = true, fresh = true, stale = true;
  char *block = patalloc_malloc(heap, 150000);
  size_t size = 150000;
  memset(block, 7, size);
  for (size_t next = 160001; next < 30u << 20; next += next / 2 + 77) {
    char *moved = patalloc_realloc(heap, block, next);
    kept &= moved && reads(moved, size, 7);
    fresh &= moved && is_tagged(moved, next) && edges_differ(moved) &&
             reads(moved + size, next - size, pattern);
    if (moved != block) stale &= faults(block);
    block = moved;
    memset(block, 7, size = next);
  }
  for (size = 20 << 20; size > 200000; size -= size / 3 + 100) {
    block = patalloc_realloc(heap, block, size);
    kept &= block && reads(block, size, 7);
    fresh &= block && is_tagged(block, size) && edges_differ(block);
  }
  patalloc_free(heap, block);
  check("realloc keeps content, up and down", kept);
  check("realloc tags what a block has grown by, and nothing beside it", fresh);
  check("the old place faults after realloc", stale);
}

static void check_calloc_and_alignment(void) {
  char *zeros = patalloc_calloc(heap, 3, 500000);
  check("calloc: zeros with a tag", zeros && tag_of(zeros) && is_tagged(zeros, 1500000) &&
                                        reads(zeros, 1500000, 0) && edges_differ(zeros));
  zeros = patalloc_realloc(heap, zeros, 3000000);
  check("calloc and realloc: the pattern behind the zeros",
        is_tagged(zeros, 3000000) && reads(zeros, 1500000, 0) &&
            reads(zeros + 1500000, 1500000, pattern));
  bool aligned = true;
  for (size_t alignment = 32; alignment <= 4 << 20; alignment *= 4) {
    char *block = patalloc_aligned_alloc(heap, alignment, 200001);
    aligned &= mte_untag((uintptr_t)block) % alignment == 0 && usable(block) == 200016 &&
               is_fresh(block, 200001);
    patalloc_free(heap, block);
  }
  check("aligned blocks, with another tag behind them in their last page", aligned);
  patalloc_free(heap, zeros);
}

static void check_fork(void) {
  char *block = patalloc_malloc(heap, 1 << 20);
  block[0] = 1;
  pid_t child = fork();
  if (!child) {
    bool good = block[0] == 1 && tag_at(block + page) == tag_of(block) && !store(block + page, 3) &&
                tag_at(block + page) == tag_of(block) &&
                mismatches(with_tag(block, tag_of(block) ^ 1));
    patalloc_free(heap, block);
    good &= faults(block);
    char *next = patalloc_malloc(heap, 1 << 20);
    _exit(!(good && is_fresh(next, 1 << 20)));
  }
  int status;
  waitpid(child, &status, 0);
  check("fork: tags, pattern and faults in the child", status == 0);
  check("fork: the parent's block is its own",
        block[0] == 1 && (unsigned char)block[page] == pattern && is_tagged(block, 1 << 20));
  patalloc_free(heap, block);
}

static void *fault_in_thread(void *block) {
  return (void *)(uintptr_t)(mismatches(with_tag(block, tag_of(block) ^ 4)) && !store(block, 1));
}

static void check_threads(void) {
  char *block = patalloc_malloc(heap, 1 << 20);
  pthread_t thread;
  void *good = NULL;
  if (!pthread_create(&thread, NULL, fault_in_thread, block)) pthread_join(thread, &good);
  check("a thread's accesses are checked", good);
  patalloc_free(heap, block);
}

static void check_system_calls(void) {
  int ends[2];
  char *block = patalloc_malloc(heap, 1 << 20), *other = with_tag(block, tag_of(block) ^ 1);
  check("write(2) and read(2) take tagged pointers", !pipe(ends) &&
                                                         write(ends[1], block + page, 100) == 100 &&
                                                         read(ends[0], block, 100) == 100);
  write(ends[1], block, 100);
  check("and refuse those with a wrong tag", read(ends[0], other, 100) < 0 && errno == EFAULT &&
                                                 write(ends[1], other, 1) < 0 && errno == EFAULT);
  patalloc_free(heap, block);
}

static bool comes_from_a_refpage(const void *block) {
  struct patalloc_block known;
  return !patalloc_inspect(heap, block, &known) && known.fill == PATALLOC_FILL_REFPAGE;
}

static long shared_kib(void) {
  char line[128];
  long kib = -1;
  FILE *file = fopen("/proc/meminfo", "r");
  while (file && fgets(line, sizeof line, file)) sscanf(line, "Shmem: %ld", &kib);
  if (file) fclose(file);
  return kib;
}

static void check_memory(void) {
  struct patalloc_block known;
  char *block = patalloc_malloc(heap, 1 << 30);
  bool sparse = block && !store(block + (512 << 20), 1) && !patalloc_inspect(heap, block, &known);
  check("1 GiB takes the memory of what is written", sparse && known.dirty_pages >= 1 &&
                                                         known.dirty_pages <= 2 &&
                                                         known.tag == (int)tag_of(block));
  check("the block is known by any of its addresses, tagged or not",
        !patalloc_inspect(heap, with_tag(block + 5000, 0), &known) &&
            known.address == (uintptr_t)block);
  patalloc_free(heap, block);
  long before = shared_kib();
  for (int i = 0; i < 400; i++) patalloc_free(heap, patalloc_malloc(heap, 1000000));
  check("refpages of 15 tags take less than 16 MiB for blocks of 1 MB",
        shared_kib() - before < 16384);
}

/* Reports: each act in a process of its own, as it ends it. */

static void act_overflow(char *block) {
  block[usable(block)] = 1;
}

static void act_wrong_tag(char *block) {
  ((char *)with_tag(block, tag_of(block) ^ 1))[1000] = 1;
}

static void act_stale(char *block) {
  patalloc_free(heap, block);
  block[5000] = 1;
}

static void act_load_stale(char *block) {
  patalloc_free(heap, block);
  (void)((volatile char *)block)[5000];
}

static void act_stale_free(char *block) {
  patalloc_free(heap, block);
  char *next = patalloc_malloc(heap, 1000000);
  if (mte_untag((uintptr_t)next) == mte_untag((uintptr_t)block)) patalloc_free(heap, block);
}

static const struct act {
  const char *name, *more_options;
  void (*act)(char *);
  const char *message;
  int signal;
} acts[] = {
    {"store by a wrong tag", "", act_wrong_tag, "tag-mismatch: write at 0x", SIGSEGV},
    {"where it was", "", act_wrong_tag, "1000 bytes inside a 1000000-byte block", SIGSEGV},
    {"stale store", "", act_stale, "bytes inside what was a 1000000-byte block", SIGSEGV},
    {"stale load", "", act_load_stale, "tag-mismatch: read at 0x", SIGSEGV},
    {"asynchronous", "tag_check=async", act_stale, "tag-mismatch: access before this one", SIGSEGV},
    {"asymmetric", "tag_check=asymm", act_wrong_tag, "tag-mismatch: ", SIGSEGV},
    {"stale free", "", act_stale_free, "is stale (the pointer's tag is ", SIGABRT},
    {"guard", "", act_overflow, "", SIGSEGV},
};
enum { ACTS = sizeof acts / sizeof *acts };

static int perform(int number) {
  acts[number].act(patalloc_malloc(heap, 1000000));
  getppid(); /* an asynchronous fault is noticed when the kernel is entered */
  return 0;
}

/* What a process writes to standard error, and how it ends. */
static int observe(const char *number, const char *more, char *text, size_t capacity) {
  int ends[2], status;
  if (pipe(ends)) return -1;
  pid_t child = fork();
  if (!child) {
    dup2(ends[1], STDERR_FILENO);
    execl("/proc/self/exe", "tags", with(more), number, NULL);
    _exit(9);
  }
  close(ends[1]);
  size_t length = 0;
  for (ssize_t got = 1; got > 0; length += got > 0 ? (size_t)got : 0)
    got = read(ends[0], text + length, capacity - 1 - length);
  text[length] = 0;
  close(ends[0]);
  waitpid(child, &status, 0);
  return status;
}

static void check_reports(void) {
  for (int i = 0; i < ACTS; i++) {
    char text[1024], number[8], what[128];
    snprintf(number, sizeof number, "%d", i);
    snprintf(what, sizeof what, "reported, with the signal it has without: %s", acts[i].name);
    int status = observe(number, acts[i].more_options, text, sizeof text);
    bool good =
        WIFSIGNALED(status) && WTERMSIG(status) == acts[i].signal && strstr(text, acts[i].message);
    check(what, good);
    if (!good) printf("status %x: %s\n", status, text);
  }
}

/* Start */

static void check_each_tag(void) {
  bool each = true;
  for (unsigned tag = 0; tag < MTE_TAGS; tag++) {
    char choice[8];
    snprintf(choice, sizeof choice, "tag=%u", tag);
    heap = patalloc_heap_create(with(choice), NULL, 0);
    for (int round = 0; round < 3; round++) {
      char *block = patalloc_malloc(heap, 1 << 20);
      each &= tag_of(block) == tag && is_fresh(block, 1 << 20);
      patalloc_free(heap, block);
    }
    patalloc_heap_destroy(heap);
  }
  check("each of 16 tags by option", each);
}

static const char *value_of(const char *name) {
  const char *at = strstr(options, name);
  return at ? at + strlen(name) : NULL;
}

int main(int argc, char **argv) {
  options = argc > 1 ? argv[1] : "";
  page = (size_t)sysconf(_SC_PAGESIZE);
  if (value_of("pattern=")) pattern = strtoul(value_of("pattern="), NULL, 0) & 0xff;
  char complaint[512];
  heap = patalloc_heap_create(with("tag=auto"), complaint, sizeof complaint);
  if (!heap) return puts(complaint), 2;
  bool user_mode = argc > 2 && !strcmp(argv[2], "user");
  if (argc > 2 && !user_mode) return perform(atoi(argv[2]));
  void *first = patalloc_malloc(heap, 1 << 20);
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  bool refpages = comes_from_a_refpage(first);
  check(refpages ? "blocks come from refpages" : "blocks come from stores",
        refpages ==
                !(value_of("without=") || value_of("fill=memset") || value_of("backend=none")) ||
            value_of("without=mremap"));
  patalloc_free(heap, first);
  check_fresh_blocks();
  check_accesses();
  check_free();
  check_neighbours();
  check_realloc();
  check_calloc_and_alignment();
  check_fork();
  check_threads();
  if (!user_mode) check_system_calls();
  if (refpages) check_memory();
  if (!user_mode) check_reports();
  check_each_tag();
  return failed;
}
