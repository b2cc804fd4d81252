/* The kernel boundary (see os.h). System calls go through syscall(2) where the C library's own
 * functions are cancellation points, which malloc and free must not be (pthreads(7)); and the
 * others too, so that few of the C library's pages are read. */
#include "os.h"

#include "../kernel/refpage_ioctl.h"
#include "mte.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Constants newer than the oldest C library that this builds with (madvise(2), memfd_create(2)). */
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4 /* Linux 5.7; file mappings 5.13 */
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13; file mappings 6.15 */
#define MADV_GUARD_REMOVE  103
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#ifndef PIDFD_SELF
#define PIDFD_SELF (-10000) /* Linux 6.15; in process_madvise(2) any advice goes */
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* Linux 6.3; demanded where vm.memfd_noexec is 2 */
#endif

/* ioctl(PAGEMAP_SCAN), Linux 6.7: Documentation/admin-guide/mm/pagemap.rst */
struct page_region {
  __u64 start, end, categories;
};
struct pagemap_scan {
  __u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
  __u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct pagemap_scan)
#define CATEGORY_FILE      (1u << 2)
#define CATEGORY_PRESENT   (1u << 3)
#define CATEGORY_SWAPPED   (1u << 4)
#define CATEGORY_PFNZERO   (1u << 5)

#define REFPAGE_DEVICE "/dev/refpage" /* kernel/refpage.c makes it */

#ifndef PROT_MTE
#define PROT_MTE 0x20 /* Linux 5.10, arm64 */
#endif

size_t os_page;
unsigned os_page_shift;

#ifdef PATALLOC_FAULTS
int (*os_fault)(const char *call);
static bool refused(const char *call) {
  int error = os_fault ? os_fault(call) : 0;
  if (error) errno = error;
  return error != 0;
}
#else
#define refused(call) false
#endif

void os_init(void) {
  if (os_page) return;
  size_t page = getauxval(AT_PAGESZ);
  os_page_shift = (unsigned)__builtin_ctzl(page);
  os_page = page;
}

/* Address space */

static void *map_at(void *address, size_t size, int protection, int flags, int descriptor) {
  if (refused("mmap")) return NULL;
  void *mapped =
      mmap(address, size, protection, MAP_PRIVATE | MAP_NORESERVE | flags, descriptor, 0);
  return mapped == MAP_FAILED ? NULL : mapped;
}

void *os_reserve(size_t size) {
  return map_at(NULL, size, PROT_NONE, MAP_ANONYMOUS, -1);
}

void *os_map(size_t size) {
  return map_at(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
}

void os_unmap(void *address, size_t size) {
  munmap(address, size);
}

bool os_commit(uintptr_t address, size_t size) {
  if (refused("mprotect")) return false;
  return mprotect((void *)address, size, PROT_READ | PROT_WRITE) == 0;
}

static int accessible(bool tagged) {
  return PROT_READ | PROT_WRITE | (tagged ? PROT_MTE : 0);
}

bool os_map_zero(uintptr_t address, size_t size, bool tagged) {
  return map_at((void *)address, size, accessible(tagged), MAP_ANONYMOUS | MAP_FIXED, -1);
}

bool os_map_private(uintptr_t address, size_t size, int descriptor, bool tagged) {
  return map_at((void *)address, size, accessible(tagged), MAP_FIXED, descriptor);
}

/* Page tables that a neighbour has made would be made again at every duplicate of the mapping, by
 * mremap(2), and walked at every reset: so the mapping shares none, and lies alone in the range
 * that one page of page table entries covers. */
void *os_map_template(size_t size, int descriptor, bool tagged) {
  size_t table = os_page_table();
  size_t room = (size + table - 1) / table * table;
  char *reserved = os_reserve(room + table);
  if (!reserved) return NULL;
  char *start = (char *)(((uintptr_t)reserved + table - 1) & ~(table - 1));
  if (start > reserved) munmap(reserved, (size_t)(start - reserved));
  if (start < reserved + table) munmap(start + room, (size_t)(reserved + table - start));
  if (os_map_private((uintptr_t)start, size, descriptor, tagged)) return start;
  munmap(start, room);
  return NULL;
}

/* Reserves again what a failed mremap(2) may have unmapped before it failed; where it has not, this
 * has no effect (MAP_FIXED_NOREPLACE, Linux 4.17). */
static void restore_reservation(uintptr_t address, size_t size) {
  int error = errno;
  void *mapped = mmap((void *)address, size, PROT_NONE,
                      MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (mapped != MAP_FAILED && mapped != (void *)address) munmap(mapped, size);
  errno = error;
}

/* Linux 5.13: of a private file mapping, the old place keeps its mapping and loses only the pages
 * that were copied; a template that was never written has none, so this duplicates it. */
bool os_duplicate(void *template_, uintptr_t address, size_t size) {
  if (!refused("mremap") &&
      syscall(SYS_mremap, template_, size, size, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
              address) != -1)
    return true;
  restore_reservation(address, size);
  return false;
}

bool os_move_pages(uintptr_t from, uintptr_t to, size_t size) {
  return os_duplicate((void *)from, to, size);
}

bool os_release(uintptr_t address, size_t size) {
  return map_at((void *)address, size, PROT_NONE, MAP_ANONYMOUS | MAP_FIXED, -1);
}

bool os_reset(uintptr_t address, size_t size) {
  if (refused("madvise")) return false;
  return madvise((void *)address, size, MADV_DONTNEED) == 0;
}

bool os_reset_locked(uintptr_t address, size_t size) {
  if (refused("madvise")) return false;
  return madvise((void *)address, size, MADV_DONTNEED_LOCKED) == 0;
}

bool os_guard_install(uintptr_t address, size_t size) {
  if (refused("madvise")) return false;
  return madvise((void *)address, size, MADV_GUARD_INSTALL) == 0;
}

bool os_guard_remove(uintptr_t address, size_t size) {
  if (refused("madvise")) return false;
  return madvise((void *)address, size, MADV_GUARD_REMOVE) == 0;
}

bool os_protect(uintptr_t address, size_t size, bool accessible) {
  if (refused("mprotect")) return false;
  return mprotect((void *)address, size, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) == 0;
}

static bool advise_all(const struct os_range *ranges, unsigned count, int advice) {
  struct iovec vector[OS_RANGES_MOST];
  size_t sum = 0;
  for (unsigned i = 0; i < count; i++) {
    vector[i] = (struct iovec){(void *)ranges[i].start, ranges[i].size};
    sum += ranges[i].size;
  }
  if (refused("process_madvise")) return false;
  return syscall(SYS_process_madvise, PIDFD_SELF, vector, count, advice, 0) == (ssize_t)sum;
}

bool os_reset_all(const struct os_range *ranges, unsigned count) {
  return advise_all(ranges, count, MADV_DONTNEED);
}

bool os_guard_install_all(const struct os_range *ranges, unsigned count) {
  return advise_all(ranges, count, MADV_GUARD_INSTALL);
}

/* Descriptors */

void os_close(int descriptor) {
  syscall(SYS_close, descriptor);
}

int os_memfd(const char *name) {
  if (refused("memfd_create")) return -1;
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  long descriptor = syscall(SYS_memfd_create, name, flags | MFD_NOEXEC_SEAL);
  if (descriptor < 0 && errno == EINVAL) descriptor = syscall(SYS_memfd_create, name, flags);
  return (int)descriptor;
}

bool os_write_at(int descriptor, const void *data, size_t size, size_t offset) {
  if (refused("pwrite")) return false;
  ssize_t written = syscall(SYS_pwrite64, descriptor, data, size, offset);
  if (written >= 0 && (size_t)written != size) errno = ENOSPC;
  return written >= 0 && (size_t)written == size;
}

/* By writes and not through a mapping, so that the pages never count in this process's RSS. */
bool os_fill(int descriptor, const void *page, size_t size) {
  enum { BATCH = 64 };
  struct iovec pages[BATCH];
  for (int i = 0; i < BATCH; i++) pages[i] = (struct iovec){(void *)(uintptr_t)page, os_page};
  for (size_t done = 0; done < size;) {
    size_t left = (size - done) >> os_page_shift;
    if (refused("pwrite")) return false;
    ssize_t written = syscall(SYS_pwritev, descriptor, pages, left < BATCH ? left : BATCH, done, 0);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    done += page_down((size_t)written); /* a short write goes on at the page it broke off in */
    if ((size_t)written < os_page) return errno = ENOSPC, false;
  }
  return true;
}

/* A part at a time, as the pages count in RSS while they are mapped. PROT_MTE is for anonymous
 * memory and for files that lie in memory (memory-tagging-extension.rst); tags stay with the file's
 * pages. */
bool os_tag_file(int descriptor, size_t size, unsigned tag) {
  enum { PART = 1 << 21 };
  for (size_t done = 0; done < size; done += PART) {
    size_t part = size - done < PART ? size - done : PART;
    if (refused("mmap")) return false;
    void *mapped = mmap(NULL, part, accessible(true), MAP_SHARED, descriptor, (off_t)done);
    if (mapped == MAP_FAILED) return false;
    mte_tag((uintptr_t)mapped, (uintptr_t)mapped + part, tag);
    munmap(mapped, part);
  }
  return true;
}

bool os_seal(int descriptor) {
  if (refused("fcntl")) return false;
  return syscall(SYS_fcntl, descriptor, F_ADD_SEALS,
                 F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0;
}

static int open_file(const char *path, int flags) {
  return refused("open") ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0666);
}

int os_read_only(int descriptor) {
  char path[48];
  struct text text = TEXT(path);
  text_string(&text, "/proc/self/fd/");
  text_decimal(&text, (uint64_t)descriptor);
  int twin = open_file(path, O_RDONLY);
  if (twin < 0) return descriptor;
  os_close(descriptor);
  return twin;
}

static bool get_limit(int resource, struct rlimit *limit) {
  return syscall(SYS_prlimit64, 0, resource, NULL, limit) == 0;
}

int os_hide_descriptor(int descriptor) {
  struct rlimit limit;
  if (!get_limit(RLIMIT_NOFILE, &limit)) return descriptor;
  rlim_t place = limit.rlim_cur > 65536 ? 65536 : limit.rlim_cur;
  if (refused("fcntl")) return descriptor;
  long hidden = syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, place - place / 16);
  if (hidden < 0) return descriptor;
  os_close(descriptor);
  return (int)hidden;
}

bool os_identify(int descriptor, struct os_identity *identity, size_t *size) {
  struct stat status;
  if (refused("fstat") || syscall(SYS_fstat, descriptor, &status)) return false;
  *identity = (struct os_identity){status.st_dev, status.st_ino};
  if (size) *size = (size_t)status.st_size;
  return true;
}

bool os_is(int descriptor, const struct os_identity *identity) {
  struct os_identity found;
  if (!os_identify(descriptor, &found, NULL)) return false;
  bool same = found.device == identity->device && found.inode == identity->inode;
  if (!same) errno = EBADF;
  return same;
}

int os_refpage_syscall(long number, const void *content, unsigned size, unsigned long flags) {
  if (refused("refpage_create")) return -1;
  return (int)syscall(number, content, size, flags);
}

int os_refpage_device(const void *content, unsigned size, unsigned long flags) {
  int device = open_file(REFPAGE_DEVICE, O_RDWR);
  if (device < 0) return -1;
  struct refpage_request request = {(uintptr_t)content, size, (__u32)flags};
  long descriptor = syscall(SYS_ioctl, device, REFPAGE_CREATE, &request);
  int error = errno;
  os_close(device);
  errno = error;
  return (int)descriptor;
}

/* Missing pages, userfaultfd(2) */

int os_uffd_open(void) {
  if (refused("userfaultfd")) return -1;
  long descriptor = syscall(SYS_userfaultfd, O_CLOEXEC);
  struct uffdio_api api = {.api = UFFD_API};
  if (descriptor < 0 || syscall(SYS_ioctl, descriptor, UFFDIO_API, &api) == 0)
    return (int)descriptor;
  os_close((int)descriptor);
  return -1;
}

bool os_uffd_watch(int descriptor, uintptr_t address, size_t size) {
  struct uffdio_register range = {.range = {address, size}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  if (refused("ioctl")) return false;
  return syscall(SYS_ioctl, descriptor, UFFDIO_REGISTER, &range) == 0;
}

/* Where the page is there by now, as another thread has faulted too, or is no longer wanted, it
 * remains to wake who waits. */
static void copy_page(int descriptor, uintptr_t to, const void *page) {
  struct uffdio_copy copy = {.dst = to, .src = (uintptr_t)page, .len = os_page};
  while (syscall(SYS_ioctl, descriptor, UFFDIO_COPY, &copy) != 0) {
    struct uffdio_range range = {to, os_page};
    if (errno == EAGAIN) continue; /* mappings are changing */
    syscall(SYS_ioctl, descriptor, UFFDIO_WAKE, &range);
    return;
  }
}

bool os_uffd_serve(int descriptor, const void *page) {
  struct uffd_msg message;
  ssize_t got = syscall(SYS_read, descriptor, &message, sizeof message);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got != sizeof message) return false;
  if (message.event == UFFD_EVENT_PAGEFAULT)
    copy_page(descriptor, page_down(message.arg.pagefault.address), page);
  return true;
}

void os_write(int descriptor, const char *text, size_t length) {
  while (length) {
    ssize_t written = syscall(SYS_write, descriptor, text, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text += written;
    length -= (size_t)written;
  }
}

int os_create_file(const char *path) {
  return open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
}

int os_append_file(const char *path) {
  return open_file(path, O_WRONLY | O_CREAT | O_APPEND);
}

int os_create_shared_file(const char *path) {
  return open_file(path, O_RDWR | O_CREAT | O_TRUNC);
}

int os_open_file(const char *path) {
  return open_file(path, O_RDONLY);
}

void os_read_link(const char *path, char *text, size_t capacity) {
  long length = syscall(SYS_readlinkat, AT_FDCWD, path, text, capacity - 1);
  text[length < 0 ? 0 : length] = 0;
}

void *os_map_shared(int descriptor, size_t size, const void *before, size_t used) {
  if (refused("mmap") || syscall(SYS_ftruncate, descriptor, size)) return NULL;
  if (before && !os_write_at(descriptor, before, used, 0)) return NULL;
  void *mapped = mmap((void *)(uintptr_t)before, size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | (before ? MAP_FIXED : 0), descriptor, 0);
  return mapped == MAP_FAILED ? NULL : mapped;
}

const void *os_map_file(int descriptor, size_t *size) {
  struct os_identity identity;
  if (refused("mmap") || !os_identify(descriptor, &identity, size) || !*size) return NULL;
  void *mapped = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  return mapped == MAP_FAILED ? NULL : mapped;
}

bool os_is_terminal(int descriptor) {
  char settings[64]; /* the kernel's struct termios has 36 bytes */
  return syscall(SYS_ioctl, descriptor, TCGETS, settings) == 0;
}

/* As much as there is, up to `size`. */
static size_t read_some(int descriptor, char *data, size_t size) {
  size_t length = 0;
  while (length < size) {
    ssize_t got = syscall(SYS_read, descriptor, data + length, size - length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    length += (size_t)got;
  }
  return length;
}

size_t os_read_file(const char *path, char *text, size_t capacity) {
  int descriptor = open_file(path, O_RDONLY);
  size_t length = descriptor < 0 ? 0 : read_some(descriptor, text, capacity - 1);
  if (descriptor >= 0) os_close(descriptor);
  text[length] = 0;
  return length;
}

bool os_each_line(const char *path, char *buffer, size_t capacity,
                  void (*each)(void *context, const char *line), void *context) {
  int descriptor = open_file(path, O_RDONLY);
  if (descriptor < 0) return false;
  size_t length = 0;
  bool ended = false, cut = false; /* whether what is left of a long line is still to come */
  for (;;) {
    size_t end = text_until(buffer, length, '\n'), next = end < length ? end + 1 : length;
    if (end == length && length < capacity - 1 && !ended) {
      size_t got = read_some(descriptor, buffer + length, capacity - 1 - length);
      ended = !got;
      length += got;
      continue;
    }
    if (!length) break;
    buffer[end] = 0;
    if (!cut) each(context, buffer);
    cut = end == length && !ended;
    memmove(buffer, buffer + next, length - next);
    length -= next;
  }
  os_close(descriptor);
  return true;
}

/* Dirty pages */

static bool dirty_by_scan(int pagemap, uintptr_t address, uintptr_t end, os_range_function *each,
                          void *context) {
  struct page_region regions[64];
  while (address < end) {
    struct pagemap_scan scan = {
        .size = sizeof scan,
        .start = address,
        .end = end,
        .vec = (uintptr_t)regions,
        .vec_len = sizeof regions / sizeof *regions,
        .category_inverted = CATEGORY_FILE | CATEGORY_PFNZERO,
        .category_mask = CATEGORY_FILE | CATEGORY_PFNZERO,
        .category_anyof_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED,
        .return_mask = CATEGORY_PRESENT | CATEGORY_SWAPPED,
    };
    long found = refused("ioctl") ? -1 : syscall(SYS_ioctl, pagemap, PAGEMAP_SCAN_IOCTL, &scan);
    if (found < 0) return false;
    for (long i = 0; i < found; i++) each(context, regions[i].start, regions[i].end);
    address = scan.walk_end;
  }
  return true;
}

/* Bit 63: present; 62: swapped; 61: a file's page, or shared anonymous; 56: mapped nowhere else
 * (pagemap.rst). The zero page, and a kernel's refpage, are neither a file's nor mapped here alone;
 * nor is what was written before a fork, which so does not count. */
static bool is_dirty(uint64_t entry) {
  bool present = entry >> 63, swapped = entry >> 62 & 1, file = entry >> 61 & 1;
  return !file && (swapped || (present && entry >> 56 & 1));
}

static bool dirty_by_entries(int pagemap, uintptr_t address, uintptr_t end, os_range_function *each,
                             void *context) {
  uint64_t entries[256];
  while (address < end) {
    size_t pages = (end - address) >> os_page_shift;
    if (pages > 256) pages = 256;
    if (refused("pread")) return false;
    ssize_t got = syscall(SYS_pread64, pagemap, entries, pages * sizeof *entries,
                          (address >> os_page_shift) * sizeof *entries);
    if (got < (ssize_t)sizeof *entries) return false;
    pages = (size_t)got / sizeof *entries;
    for (size_t i = 0; i < pages; i++, address += os_page)
      if (is_dirty(entries[i])) each(context, address, address + os_page);
  }
  return true;
}

/* Opened for each use: a kept descriptor could be closed by the program, and would describe the
 * parent's memory after fork. */
bool os_dirty_ranges(uintptr_t address, size_t size, bool scan, os_range_function *each,
                     void *context) {
  int pagemap = open_file("/proc/self/pagemap", O_RDONLY);
  if (pagemap < 0) return false;
  bool told =
      (scan ? dirty_by_scan : dirty_by_entries)(pagemap, address, address + size, each, context);
  os_close(pagemap);
  return told;
}

/* Hints */

bool os_populate(uintptr_t address, size_t size) {
  if (refused("madvise")) return false;
  return madvise((void *)address, size, MADV_POPULATE_WRITE) == 0;
}

bool os_use_huge_pages(uintptr_t address, size_t size) {
  if (refused("madvise")) return false;
  return madvise((void *)address, size, MADV_HUGEPAGE) == 0;
}

/* Tags. The constants are newer than the oldest C library that this builds with (prctl(2)). */

bool os_check_tags(enum os_tag_checks checks) {
  enum { SET_TAGGED_ADDR_CTRL = 55, ADDR_ENABLE = 1, SYNC = 2, ASYNC = 4, TAG_SHIFT = 3 };
  static const int modes[] = {
      [OS_CHECK_SYNC] = SYNC, [OS_CHECK_ASYNC] = ASYNC, [OS_CHECK_ASYMM] = SYNC | ASYNC};
  unsigned long all_but_0 = 0xfffe;
  if (refused("prctl")) return false;
  return syscall(SYS_prctl, SET_TAGGED_ADDR_CTRL,
                 ADDR_ENABLE | modes[checks] | all_but_0 << TAG_SHIFT, 0, 0, 0) == 0;
}

/* Waiting */

void os_wait(_Atomic uint32_t *word, uint32_t value) {
  int error = errno;
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL);
  errno = error;
}

void os_wake(_Atomic uint32_t *word) {
  int error = errno;
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1);
  errno = error;
}

void os_yield(void) {
  syscall(SYS_sched_yield);
}

/* Limits */

uint32_t os_milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* The decimal number after `key` in the text (or at its start, for an empty key); `otherwise`
 * where there is none. */
static size_t number_after(const char *text, const char *key, size_t otherwise) {
  const char *digit = text_after(text, key);
  if (!digit) return otherwise;
  while (*digit == ' ') digit++;
  if (*digit < '0' || *digit > '9') return otherwise;
  size_t value = 0;
  for (; *digit >= '0' && *digit <= '9'; digit++) value = value * 10 + (size_t)(*digit - '0');
  return value;
}

static size_t number_in_file(const char *path, size_t otherwise) {
  char text[32];
  os_read_file(path, text, sizeof text);
  return number_after(text, "", otherwise);
}

size_t os_max_map_count(void) {
  return number_in_file("/proc/sys/vm/max_map_count", 65530);
}

/* Of no use where the setting is "never" (admin-guide/mm/transhuge.rst). */
size_t os_huge_page(void) {
  char setting[64];
  os_read_file("/sys/kernel/mm/transparent_hugepage/enabled", setting, sizeof setting);
  if (!*setting || text_after(setting, "[never]")) return 0;
  return number_in_file("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", 0);
}

size_t os_physical_memory(void) {
  struct sysinfo info;
  return syscall(SYS_sysinfo, &info) ? 0 : (size_t)info.totalram * info.mem_unit;
}

size_t os_address_space_limit(void) {
  struct rlimit limit;
  return get_limit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur
                                                                         : SIZE_MAX;
}

struct cgroup_files {
  const char *line, *mount, *limit, *usage;
};

static size_t number_under(const char *directory, size_t length, const char *file,
                           size_t otherwise) {
  char path[512];
  struct text text = TEXT(path);
  text_span(&text, directory, length);
  text_string(&text, file);
  return text.length < sizeof path ? number_in_file(path, otherwise) : otherwise;
}

/* What one control group and all above it still allow: cgroups(7), cgroup-v2.rst. */
static size_t cgroup_allowance(const char *membership, const struct cgroup_files *files) {
  char group[512];
  struct text text = TEXT(group);
  const char *line = text_after(membership, files->line);
  size_t allowance = SIZE_MAX, mount = text_length(files->mount);
  if (!line) return allowance;
  text_string(&text, files->mount);
  text_span(&text, line, text_until(line, text_length(line), '\n'));
  if (text.length >= sizeof group) return allowance;
  for (size_t end = text.length; end >= mount; end--) {
    if (end != text.length && end != mount && group[end] != '/') continue;
    size_t limit = number_under(group, end, files->limit, SIZE_MAX);
    size_t usage = number_under(group, end, files->usage, 0);
    size_t left = limit > usage ? limit - usage : 0;
    if (left < allowance) allowance = left;
  }
  return allowance;
}

size_t os_available_memory(void) {
  static const struct cgroup_files versions[] = {
      {"0::", "/sys/fs/cgroup", "/memory.max", "/memory.current"},
      {":memory:", "/sys/fs/cgroup/memory", "/memory.limit_in_bytes", "/memory.usage_in_bytes"},
  };
  char text[2048];
  struct sysinfo info;
  size_t available = SIZE_MAX;
  if (!syscall(SYS_sysinfo, &info))
    available = (size_t)(info.freeram + info.bufferram) * info.mem_unit;
  os_read_file("/proc/meminfo", text, sizeof text);
  size_t kib = number_after(text, "MemAvailable:", 0);
  if (kib) available = kib * 1024;
  os_read_file("/proc/self/cgroup", text, sizeof text);
  for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
    size_t allowance = cgroup_allowance(text, &versions[i]);
    if (allowance < available) available = allowance;
  }
  return available;
}

bool os_secure(void) {
  return getauxval(AT_SECURE) != 0;
}

int os_process_id(void) {
  return (int)syscall(SYS_getpid);
}

uint32_t os_thread_id(void) {
  return (uint32_t)syscall(SYS_gettid);
}

void os_thread_name(char name[OS_NAME]) {
  if (syscall(SYS_prctl, PR_GET_NAME, name, 0, 0, 0)) *name = 0;
}

/* Probes: each tries what it asks about, on pages of its own. */

enum { PROBE_PAGES = 3 }; /* the last for what may stay inaccessible */

/* Pages mapped as spans are; of zeros where there is no memfd, which *memfd tells. */
static char *probe_mapping(bool *memfd) {
  int descriptor = os_memfd("patalloc-probe");
  char *mapped = NULL;
  *memfd = false;
  if (descriptor >= 0) {
    if (syscall(SYS_ftruncate, descriptor, PROBE_PAGES * os_page) == 0 && os_seal(descriptor))
      mapped = os_map_template(PROBE_PAGES * os_page, descriptor, false);
    os_close(descriptor);
    *memfd = mapped;
  }
  return mapped ? mapped : os_map(PROBE_PAGES * os_page);
}

static bool probe_mremap(char *pages) {
  void *target = os_reserve(os_page);
  bool works = target && os_duplicate(pages, (uintptr_t)target, os_page);
  if (target) os_unmap(target, os_page);
  return works;
}

/* Asked without a fault: a path that can't be read is EFAULT. */
static bool is_readable(uintptr_t address) {
  return syscall(SYS_faccessat, AT_FDCWD, address, F_OK) == 0 || errno != EFAULT;
}

/* Emulators have been seen to take advice that they don't know for done. */
static bool probe_guard(char *pages) {
  uintptr_t last = (uintptr_t)pages + (PROBE_PAGES - 1) * os_page;
  return os_guard_install(last, os_page) && !is_readable(last) && os_guard_remove(last, os_page) &&
         is_readable(last);
}

static bool probe_dontneed_locked(char *pages) {
  return os_reset_locked((uintptr_t)pages, os_page);
}

static bool probe_process_madvise(char *pages) {
  struct os_range ranges[] = {{(uintptr_t)pages, os_page}, {(uintptr_t)pages + os_page, os_page}};
  return os_reset_all(ranges, 2);
}

static void count_pages(void *count, uintptr_t from, uintptr_t to) {
  *(size_t *)count += (to - from) >> os_page_shift;
}

static bool finds_the_dirty_page(char *pages, bool scan) {
  size_t count = 0;
  os_reset((uintptr_t)pages, 2 * os_page);
  pages[0] = 1;
  return os_dirty_ranges((uintptr_t)pages, 2 * os_page, scan, count_pages, &count) && count == 1;
}

static bool probe_pagemap_scan(char *pages) {
  return finds_the_dirty_page(pages, true);
}

static bool probe_proc(char *pages) {
  return finds_the_dirty_page(pages, false);
}

static bool probe_populate(char *pages) {
  return os_populate((uintptr_t)pages, os_page);
}

static bool probe_huge_pages(char *pages) {
  (void)pages;
  return os_huge_page() != 0;
}

/* HWCAP2_MTE says that user space may use the instructions. */
static bool probe_mte(char *pages) {
  enum { MTE_CAPABILITY = 1 << 18 };
  (void)pages;
#ifdef __aarch64__
  return getauxval(AT_HWCAP2) & MTE_CAPABILITY;
#else
  return false;
#endif
}

static bool holds_its_tag(int descriptor) {
  enum { TAG = 5 };
  char *mapped = NULL;
  if (syscall(SYS_ftruncate, descriptor, os_page) == 0 && os_tag_file(descriptor, os_page, TAG))
    mapped = os_map_template(os_page, descriptor, true);
  bool holds = mapped && mte_tag_at((uintptr_t)mapped) == TAG;
  if (mapped) os_unmap(mapped, os_page);
  return holds;
}

static bool probe_tag_refpages(char *pages) {
  if (!probe_mte(pages)) return false;
  int descriptor = os_memfd("patalloc-probe");
  bool holds = descriptor >= 0 && holds_its_tag(descriptor);
  if (descriptor >= 0) os_close(descriptor);
  return holds;
}

static bool probe_device(char *pages) {
  (void)pages;
  int device = open_file(REFPAGE_DEVICE, O_RDWR);
  if (device < 0) return false;
  os_close(device);
  return true;
}

/* With the privilege: else the kernel's own accesses to missing pages would fail (Linux 5.11). */
static bool probe_userfaultfd(void) {
  int descriptor = os_uffd_open();
  if (descriptor < 0) return false;
  os_close(descriptor);
  return true;
}

const struct os_feature_text os_feature_texts[OS_FEATURES] = {
    [OS_MEMFD] = {"memfd", "Linux 3.17", "refpages: a sealed file of pattern pages",
                  "memset of every block"},
    [OS_MREMAP_DONTUNMAP] = {"mremap_dontunmap", "Linux 5.13",
                             "spans are duplicated from a template, and realloc moves pages",
                             "the refpage's descriptor stays open; realloc copies"},
    [OS_GUARD_REGIONS] = {"guard_regions", "Linux 6.15", "guards that need no VMA",
                          "guards are PROT_NONE pages, two VMAs a block"},
    [OS_DONTNEED_LOCKED] = {"dontneed_locked", "Linux 5.18", "reset of memory that is locked",
                            "locked memory is rewritten on free"},
    [OS_PROCESS_MADVISE] = {"process_madvise", "Linux 6.15",
                            "guards and resets of many blocks by one call", "a call for each"},
    [OS_PAGEMAP_SCAN] = {"pagemap_scan", "Linux 6.7", "finding the pages that were written",
                         "the entries of /proc/self/pagemap, read one by one"},
    [OS_PROC] = {"proc", "a mounted /proc", "finding the pages that were written",
                 "written pages are not found: blocks are reset on free"},
    [OS_POPULATE] = {"populate", "Linux 5.14", "making many pages by one call",
                     "a page fault for each page"},
    [OS_HUGE_PAGES] = {"huge_pages", "transparent_hugepage/enabled not never",
                       "large blocks that are written throughout", "pages of the ordinary size"},
    [OS_DEVICE] = {"device", "a module that makes /dev/refpage",
                   "refpages that need one VMA for any length", "memfd"},
    [OS_USERFAULTFD] = {"userfaultfd", "Linux 4.3, CAP_SYS_PTRACE or vm.unprivileged_userfaultfd=1",
                        "pages made by a thread (backend=uffd, an experiment)",
                        "memset of every block"},
    [OS_MTE] = {"mte", "arm64 with MTE, Linux 5.10", "tags on blocks, checked at each access",
                "blocks have no tags"},
    [OS_TAG_REFPAGES] = {"tag_refpages", "arm64 with MTE, Linux 5.10",
                         "blocks that come tagged, at no cost by size",
                         "tags are stored all over a block"},
};

enum { PROBED = 1 << 30 };

static uint32_t probe_all(void) {
  static bool (*const probes[OS_FEATURES])(char *) = {[OS_MREMAP_DONTUNMAP] = probe_mremap,
                                                      [OS_GUARD_REGIONS] = probe_guard,
                                                      [OS_DONTNEED_LOCKED] = probe_dontneed_locked,
                                                      [OS_PROCESS_MADVISE] = probe_process_madvise,
                                                      [OS_PAGEMAP_SCAN] = probe_pagemap_scan,
                                                      [OS_PROC] = probe_proc,
                                                      [OS_POPULATE] = probe_populate,
                                                      [OS_HUGE_PAGES] = probe_huge_pages,
                                                      [OS_DEVICE] = probe_device,
                                                      [OS_MTE] = probe_mte,
                                                      [OS_TAG_REFPAGES] = probe_tag_refpages};
  uint32_t found = PROBED;
  bool memfd;
  char *pages = probe_mapping(&memfd);
  if (!pages) return found;
  if (memfd) found |= 1u << OS_MEMFD;
  for (int i = 0; i < OS_FEATURES; i++)
    if (probes[i] && probes[i](pages)) found |= 1u << i;
  os_unmap(pages, PROBE_PAGES * os_page);
  return found;
}

/* userfaultfd(2) is tried only when asked for: a sandbox may end a process for it. */
bool os_has(enum os_feature feature) {
  if (feature == OS_USERFAULTFD) return probe_userfaultfd();
  static _Atomic uint32_t known; /* two threads may both probe: same answer */
  uint32_t found = atomic_load_explicit(&known, memory_order_relaxed);
  if (!found) {
    int error = errno;
    atomic_store_explicit(&known, found = probe_all(), memory_order_relaxed);
    errno = error;
  }
  return found >> feature & 1;
}
