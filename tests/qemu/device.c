/* What a refpage descriptor of /dev/refpage promises. Prints a line a check. */
#include "../../kernel/refpage_ioctl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

enum { PAGE = 4096 };
static int device, refpage;
static bool failed;

static void check(const char *what, bool holds) {
  printf("%s device: %s\n", holds ? "PASS" : "FAIL", what);
  if (!holds) printf("errno %d: %s\n", errno, strerror(errno));
  fflush(stdout);
  failed |= !holds;
}

static int create(const void *content, uint32_t size, uint32_t flags) {
  struct refpage_request request = {(uintptr_t)content, size, flags};
  return ioctl(device, REFPAGE_CREATE, &request);
}

static unsigned char *map(size_t size) {
  void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, refpage, 0);
  if (mapped == MAP_FAILED) perror("mmap"), exit(1);
  return mapped;
}

static bool reads(const unsigned char *at, size_t size, int value) {
  return *at == value && !memcmp(at, at + 1, size - 1);
}

static long number_in(const char *path, const char *format) {
  char line[256];
  long number = -1;
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, format, &number) == 1) break;
  if (file) fclose(file);
  return number;
}

static long rss(void) {
  return number_in("/proc/self/status", "VmRSS: %ld");
}

static int vmas(void) {
  int count = 0;
  FILE *file = fopen("/proc/self/maps", "r");
  for (int c; file && (c = getc(file)) != EOF;) count += c == '\n';
  if (file) fclose(file);
  return count;
}

/* Creating */

static void check_contents(void) {
  static unsigned char content[PAGE] __attribute__((aligned(PAGE)));
  bool good = true;
  for (unsigned i = 0; i < PAGE; i++) content[i] = (unsigned char)(i * 7 + i / 256 + 1);
  for (unsigned size = 1; size <= PAGE; size *= 2) {
    int descriptor = create(content, size, 0);
    unsigned char *at = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, descriptor, 5 * PAGE);
    good &= descriptor >= 0 && at != MAP_FAILED;
    for (unsigned i = 0; good && i < 3 * PAGE; i++) good &= at[i] == content[i % size];
    munmap(at, 3 * PAGE);
    close(descriptor);
  }
  check("content of 1 to 4096 bytes, over and over, at any offset", good);
}

static bool is_refused(const void *content, uint32_t size, uint32_t flags, int error) {
  return create(content, size, flags) == -1 && errno == error;
}

static void check_refusals(void) {
  static unsigned char content[2 * PAGE] __attribute__((aligned(2 * PAGE)));
  check("sizes that are no power of two, or more than a page: EINVAL",
        is_refused(content, 0, 0, EINVAL) && is_refused(content, 3, 0, EINVAL) &&
            is_refused(content, 2 * PAGE, 0, EINVAL) && is_refused(content, 1u << 31, 0, EINVAL));
  check("content that is not aligned, flags: EINVAL",
        is_refused(content + 4, 8, 0, EINVAL) && is_refused(content, 8, 1, EINVAL));
  check("content that can't be read: EFAULT", is_refused((void *)8, 8, 0, EFAULT));
  check("other ioctls: ENOTTY",
        ioctl(device, REFPAGE_CREATE + 1, content) == -1 && errno == ENOTTY);
  check("a request that can't be read: EFAULT",
        ioctl(device, REFPAGE_CREATE, NULL) == -1 && errno == EFAULT);
  check("no descriptor is left where one is refused",
        dup(device) == refpage + 1 && !close(refpage + 1));
}

static void check_descriptor(void) {
  struct stat one, other;
  char byte = 1;
  int second = create(&byte, 1, 0);
  check("FD_CLOEXEC is set", fcntl(refpage, F_GETFD) & FD_CLOEXEC);
  check("it can be neither read, written nor resized", read(refpage, &byte, 1) < 0 &&
                                                           write(refpage, &byte, 1) < 0 &&
                                                           ftruncate(refpage, PAGE) < 0);
  check("it has an inode of its own",
        !fstat(refpage, &one) && !fstat(second, &other) && one.st_ino != other.st_ino);
  close(second);
  check("shared mappings are refused, writable or not",
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, refpage, 0) == MAP_FAILED &&
            mmap(NULL, PAGE, PROT_READ, MAP_SHARED, refpage, 0) == MAP_FAILED);
}

/* Memory */

static void check_size(void) {
  size_t size = (size_t)1 << 40;
  int before = vmas();
  unsigned char *huge = map(size);
  check("1 TiB is one VMA", vmas() == before + 1);
  check("that reads the content from end to end", reads(huge, PAGE, 0xab) &&
                                                      reads(huge + size / 2 + 123, PAGE, 0xab) &&
                                                      reads(huge + size - PAGE, PAGE, 0xab));
  munmap(huge, size);
}

/* 0 where no page is mapped. */
static uint64_t frame_of(const void *at) {
  uint64_t entry = 0, mask = ((uint64_t)1 << 55) - 1;
  int pagemap = open("/proc/self/pagemap", O_RDONLY);
  bool known = pread(pagemap, &entry, 8, (off_t)((uintptr_t)at / PAGE * 8)) == 8 && entry >> 63;
  close(pagemap);
  return known ? entry & mask : 0;
}

static long map_count_of(const void *at) {
  uint64_t frame = frame_of(at), count = 0;
  int counts = open("/proc/kpagecount", O_RDONLY);
  bool known = frame && pread(counts, &count, 8, (off_t)(frame * 8)) == 8;
  close(counts);
  return known ? (long)count : -1;
}

static void check_counts(void) {
  size_t size = 256 << 20;
  unsigned char *memory = map(size);
  long before = rss();
  bool good = true;
  for (size_t at = 0; at < size; at += PAGE) good &= memory[at] == 0xab;
  check("reading 256 MiB does not count in RSS", good && rss() - before < 256);
  check("nor in the page's map count",
        map_count_of(memory) == 0 && map_count_of(memory + size - 1) == 0);
  memory[0] = 1;
  check("a page that was written has a count of one", map_count_of(memory) == 1);
  munmap(memory, size);
}

static void check_stores(void) {
  unsigned char *memory = map(64 * PAGE), *other = map(64 * PAGE);
  memory[5] = 1; /* before any read */
  check("the first store copies the page",
        memory[5] == 1 && memory[4] == 0xab && reads(memory + 6, PAGE - 6, 0xab));
  check("and its neighbours read the content", reads(memory + PAGE, 63 * PAGE, 0xab));
  memory[20 * PAGE + 7] = 2; /* after a read */
  check("a store after a read copies too", memory[20 * PAGE + 7] == 2 &&
                                               reads(memory + 20 * PAGE, 7, 0xab) &&
                                               reads(memory + 21 * PAGE, PAGE, 0xab));
  check("other mappings don't see it", reads(other, 64 * PAGE, 0xab));
  madvise(memory, 64 * PAGE, MADV_DONTNEED);
  check("MADV_DONTNEED brings the content back", reads(memory, 64 * PAGE, 0xab));
  munmap(memory, 64 * PAGE);
  munmap(other, 64 * PAGE);
}

static void check_fork(void) {
  unsigned char *memory = map(64 * PAGE);
  int status;
  memory[0] = 1;
  (void)*(volatile unsigned char *)(memory + 32 * PAGE);
  pid_t child = fork();
  if (!child) {
    bool good = memory[0] == 1 && reads(memory + PAGE, 63 * PAGE, 0xab);
    memory[0] = memory[PAGE] = memory[32 * PAGE] = 9;
    _exit(!(good && reads(memory + 33 * PAGE, PAGE, 0xab)));
  }
  waitpid(child, &status, 0);
  check("fork: the child has what was written, and the content", status == 0);
  check("and its stores are its own", memory[0] == 1 && reads(memory + PAGE, 63 * PAGE, 0xab));
  munmap(memory, 64 * PAGE);
}

static void check_mappings(void) {
  unsigned char *memory = map(64 * PAGE), *target = map(256 * PAGE);
  memory[0] = 1;
  void *twin = mremap(memory, 64 * PAGE, 64 * PAGE,
                      MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, target);
  check("mremap(2) moves what was written, and MREMAP_DONTUNMAP leaves the content",
        twin == target && target[0] == 1 && reads(target + 1, 64 * PAGE - 1, 0xab) &&
            reads(memory, 64 * PAGE, 0xab));
  check("mprotect(2) and back", !mprotect(memory + PAGE, PAGE, PROT_NONE) &&
                                    !mprotect(memory + PAGE, PAGE, PROT_READ | PROT_WRITE) &&
                                    reads(memory, 64 * PAGE, 0xab));
  munmap(memory + 8 * PAGE, PAGE);
  check("munmap(2) of a part",
        reads(memory, 8 * PAGE, 0xab) && reads(memory + 9 * PAGE, 55 * PAGE, 0xab));
  unsigned char *grown = mremap(map(256 * PAGE), 256 * PAGE, 512 * PAGE, MREMAP_MAYMOVE);
  check("mremap(2) grows it", grown != MAP_FAILED && reads(grown + 256 * PAGE, 256 * PAGE, 0xab));
  check("mlock(2) makes the pages, and locks none",
        !mlock(grown, 512 * PAGE) && map_count_of(grown + 50 * PAGE) == 1 &&
            number_in("/proc/self/status", "VmLck: %ld") == 0 && reads(grown, 512 * PAGE, 0xab));
  munmap(grown, 512 * PAGE);
}

/* What the kernel itself reads and writes there */

static void check_system_calls(void) {
  unsigned char *memory = map(64 * PAGE), buffer[PAGE];
  int ends[2];
  check("write(2) from an untouched page",
        !pipe(ends) && write(ends[1], memory + PAGE, PAGE) == PAGE &&
            read(ends[0], buffer, PAGE) == PAGE && reads(buffer, PAGE, 0xab));
  check("and from the next one: each is a copy of its own",
        write(ends[1], memory + 9 * PAGE, PAGE) == PAGE && read(ends[0], buffer, PAGE) == PAGE &&
            reads(buffer, PAGE, 0xab) && frame_of(memory + PAGE) != frame_of(memory + 9 * PAGE) &&
            map_count_of(memory + 9 * PAGE) == 1);
  memory[9 * PAGE] = 3;
  check("that a store copies too",
        memory[9 * PAGE] == 3 && reads(memory + 9 * PAGE + 1, PAGE - 1, 0xab));
  (void)*(volatile unsigned char *)(memory + 2 * PAGE);
  check("and from one that was read", write(ends[1], memory + 2 * PAGE, PAGE) == PAGE &&
                                          read(ends[0], buffer, PAGE) == PAGE &&
                                          reads(buffer, PAGE, 0xab));
  memset(buffer, 7, PAGE);
  check("read(2) into one copies it",
        write(ends[1], buffer, 100) == 100 && read(ends[0], memory + 5 * PAGE, 100) == 100 &&
            reads(memory + 5 * PAGE, 100, 7) && reads(memory + 5 * PAGE + 100, PAGE - 100, 0xab));
  munmap(memory, 64 * PAGE);
}

static ssize_t read_of(pid_t process, void *at, void *buffer) {
  struct iovec here = {buffer, PAGE}, there = {at, PAGE};
  return process_vm_readv(process, &here, 1, &there, 1, 0);
}

static void check_references(void) {
  unsigned char *memory = map(64 * PAGE), buffer[PAGE], word[8];
  int status;
  (void)*(volatile unsigned char *)(memory + 40 * PAGE);
  memory[41 * PAGE] = 1;
  pid_t child = fork();
  if (!child) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    _exit(0);
  }
  waitpid(child, &status, 0);
  check("get_user_pages of an untouched page",
        read_of(child, memory, buffer) == PAGE && reads(buffer, PAGE, 0xab));
  check("of one that was written",
        read_of(child, memory + 41 * PAGE, buffer) == PAGE && buffer[0] == 1);
  check("not of one that was only read: EFAULT",
        read_of(child, memory + 40 * PAGE, buffer) < 0 && errno == EFAULT);
  errno = 0;
  long peeked = ptrace(PTRACE_PEEKDATA, child, memory + 40 * PAGE, 0);
  memcpy(word, &peeked, 8);
  check("but a debugger reads that too", !errno && reads(word, 8, 0xab));
  check("and writes it",
        !ptrace(PTRACE_POKEDATA, child, memory + 40 * PAGE, 0x0101010101010101) &&
            ptrace(PTRACE_PEEKDATA, child, memory + 40 * PAGE, 0) == 0x0101010101010101);
  ptrace(PTRACE_CONT, child, 0, 0);
  waitpid(child, &status, 0);
  munmap(memory, 64 * PAGE);
}

/* All at the same time */

enum { THREADS = 4, ROUNDS = 300, PAGES = 512 };
static unsigned char *arena;

static void *churn(void *number) {
  unsigned seed = (unsigned)(uintptr_t)number;
  unsigned char *mine = arena + (uintptr_t)number * PAGES * PAGE;
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < 40; i++) {
      unsigned char *page = mine + (rand_r(&seed) % PAGES) * PAGE;
      if (page[100] != 0xab && page[100] != 1) return (void *)1;
      if (rand_r(&seed) % 2) page[100] = 1;
    }
    madvise(mine + (rand_r(&seed) % PAGES) * PAGE, PAGE, MADV_DONTNEED);
    if (round % 50 == 0) {
      pid_t child = fork();
      if (!child) _exit(!(mine[5] == 0xab && (mine[5] = 2)));
      int status;
      waitpid(child, &status, 0);
      if (status) return (void *)1;
      madvise(mine, PAGES * PAGE, MADV_DONTNEED);
      if (!reads(mine, PAGES * PAGE, 0xab)) return (void *)1;
    }
  }
  return NULL;
}

static void check_threads(void) {
  pthread_t threads[THREADS];
  bool good = true;
  arena = map((size_t)THREADS * PAGES * PAGE);
  for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, churn, (void *)i);
  for (int i = 0; i < THREADS; i++) {
    void *bad;
    pthread_join(threads[i], &bad);
    good &= !bad;
  }
  check("threads that read, write, reset and fork at the same time", good);
  munmap(arena, (size_t)THREADS * PAGES * PAGE);
}

static void check_unloading(void) {
  close(device);
  unsigned char *memory = map(PAGE);
  close(refpage);
  check("the module can't be unloaded while a mapping is left",
        syscall(SYS_delete_module, "refpage", O_NONBLOCK) < 0 &&
            (errno == EAGAIN || errno == EBUSY) && reads(memory, PAGE, 0xab));
}

int main(void) {
  static const unsigned char pattern = 0xab;
  device = open("/dev/refpage", O_RDONLY | O_CLOEXEC);
  refpage = create(&pattern, 1, 0);
  check("a descriptor is made", refpage >= 0);
  if (refpage < 0) return 1;
  check_contents();
  check_refusals();
  check_descriptor();
  check_size();
  check_counts();
  check_stores();
  check_fork();
  check_mappings();
  check_system_calls();
  check_references();
  check_threads();
  check_unloading();
  return failed;
}
