/* Descriptors and files (see files.h). */
#include "os/files.h"

#include "../kernel/refpage_ioctl.h"
#include "base/text.h"
#include "os/apart.h"
#include "os/call.h"
#include "os/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u /* Linux 6.3; demanded where vm.memfd_noexec is 2 (memfd_create(2)) */
#endif

#define MFD_MMAP_WRAP 0x0020u /* kernel/patches has it */

#define REFPAGE_DEVICE "/dev/refpage" /* kernel/refpage.c makes it */

/* Descriptors */

void os_close(int descriptor) {
  syscall(SYS_close, descriptor);
}

int os_open_with(const char *path, int flags) {
  if (os_is_sandboxed()) return errno = EPERM, -1;
  return os_refuses("open") ? -1
                            : (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

int os_duplicate_descriptor(int descriptor) {
  enum { HIGHEST = 65536 };
  struct rlimit limit;
  if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) || os_refuses("fcntl")) return -1;
  rlim_t place = limit.rlim_cur > HIGHEST ? HIGHEST : limit.rlim_cur;
  return (int)syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, place - place / 16);
}

int os_hide_descriptor(int descriptor) {
  int hidden = os_duplicate_descriptor(descriptor);
  if (hidden < 0) return descriptor;
  os_close(descriptor);
  return hidden;
}

bool os_identify(int descriptor, struct os_identity *identity, size_t *size) {
  struct stat status;
  if (os_refuses("fstat") || syscall(SYS_fstat, descriptor, &status)) return false;
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

/* Files that grow */

/* What would grow a file past RLIMIT_FSIZE raises SIGXFSZ, which ends the process (setrlimit(2)):
 * so that a file of ours does not, the signal is blocked meanwhile, and taken back. */
struct quiet {
  uint64_t mask, pending; /* of before */
  bool begun;
};
enum { SIGNALS = sizeof(uint64_t) }; /* in bytes, as the kernel has them */
static const uint64_t size_signal = UINT64_C(1) << (SIGXFSZ - 1);

static struct quiet begin_growth(void) {
  struct quiet quiet = {0};
  quiet.begun = os_may_call();
  if (!quiet.begun) return quiet;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, &size_signal, &quiet.mask, SIGNALS);
  syscall(SYS_rt_sigpending, &quiet.pending, SIGNALS);
  return quiet;
}

static void end_growth(struct quiet quiet) {
  if (!quiet.begun) return;
  int error = errno;
  struct timespec now = {0};
  if (!(quiet.pending & size_signal))
    syscall(SYS_rt_sigtimedwait, &size_signal, NULL, &now, SIGNALS);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &quiet.mask, NULL, SIGNALS);
  os_called();
  errno = error;
}

/* Files that refpages are made of */

static int memfd_with(const char *name, unsigned kind) {
  if (os_is_sandboxed()) return errno = EPERM, -1;
  if (os_refuses("memfd_create")) return -1;
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | kind;
  long descriptor = syscall(SYS_memfd_create, name, flags | MFD_NOEXEC_SEAL);
  if (descriptor < 0 && errno == EINVAL) descriptor = syscall(SYS_memfd_create, name, flags);
  return (int)descriptor;
}

int os_memfd(const char *name) {
  return memfd_with(name, 0);
}

int os_memfd_wrap(const char *name) {
  return memfd_with(name, MFD_MMAP_WRAP);
}

bool os_resize(int descriptor, size_t size) {
  struct quiet quiet = begin_growth();
  bool resized = syscall(SYS_ftruncate, descriptor, size) == 0;
  end_growth(quiet);
  return resized;
}

bool os_allocate(int descriptor, size_t size) {
  if (os_refuses("fallocate")) return false;
  struct quiet quiet = begin_growth();
  bool done = syscall(SYS_fallocate, descriptor, 0, (off_t)0, (off_t)size) == 0;
  end_growth(quiet);
  return done;
}

bool os_hold(int descriptor) {
  return syscall(SYS_flock, descriptor, LOCK_SH | LOCK_NB) == 0;
}

bool os_write_at(int descriptor, const void *data, size_t size, size_t offset) {
  if (os_refuses("pwrite")) return false;
  struct quiet quiet = begin_growth();
  ssize_t written = syscall(SYS_pwrite64, descriptor, data, size, offset);
  end_growth(quiet);
  if (written >= 0 && (size_t)written != size) errno = ENOSPC;
  return written >= 0 && (size_t)written == size;
}

static bool fill(int descriptor, const void *page, size_t size) {
  enum { BATCH = 64 };
  struct iovec pages[BATCH];
  for (int i = 0; i < BATCH; i++) pages[i] = (struct iovec){(void *)(uintptr_t)page, os_page};
  for (size_t done = 0; done < size;) {
    size_t left = (size - done) >> os_page_shift;
    if (os_refuses("pwrite")) return false;
    ssize_t written = syscall(SYS_pwritev, descriptor, pages, left < BATCH ? left : BATCH, done, 0);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    done += page_down((size_t)written); /* a short write goes on at the page it broke off in */
    if ((size_t)written < os_page) return errno = ENOSPC, false;
  }
  return true;
}

/* By writes and not through a mapping, so that the pages never count in this process's RSS. */
bool os_fill(int descriptor, const void *page, size_t size) {
  struct quiet quiet = begin_growth();
  bool filled = fill(descriptor, page, size);
  end_growth(quiet);
  return filled;
}

bool os_seal(int descriptor) {
  if (os_refuses("fcntl")) return false;
  return syscall(SYS_fcntl, descriptor, F_ADD_SEALS,
                 F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0;
}

int os_read_only(int descriptor) {
  char path[48];
  struct text text = TEXT(path);
  text_string(&text, "/proc/self/fd/");
  text_decimal(&text, (uint64_t)descriptor);
  int twin = os_open_with(path, O_RDONLY);
  if (twin < 0) return descriptor;
  os_close(descriptor);
  return twin;
}

int os_refpage_syscall(long number, const void *content, unsigned size, unsigned long flags) {
  if (os_refuses("refpage_create")) return -1;
  return (int)syscall(number, content, size, flags);
}

int os_open_refpage_device(void) {
  return os_open_with(REFPAGE_DEVICE, O_RDWR);
}

int os_refpage_device(const void *content, unsigned size, unsigned long flags) {
  int device = os_open_refpage_device();
  if (device < 0) return -1;
  struct refpage_request request = {(uintptr_t)content, size, (__u32)flags};
  long descriptor = syscall(SYS_ioctl, device, REFPAGE_CREATE, &request);
  int error = errno;
  os_close(device);
  errno = error;
  return (int)descriptor;
}

/* Files by path: not by way of a link that another user may have put there; nor is a FIFO without a
 * reader waited for. */
enum { OURS = O_NOFOLLOW | O_NONBLOCK };

int os_create_file(const char *path) {
  return os_open_with(path, O_WRONLY | O_CREAT | O_TRUNC | OURS);
}

int os_append_file(const char *path) {
  return os_open_with(path, O_WRONLY | O_CREAT | O_APPEND | OURS);
}

/* In place of a file of that name, which another process may have mapped. */
int os_create_shared_file(const char *path) {
  struct stat status;
  bool replaces = !fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) && S_ISREG(status.st_mode);
  if (replaces) syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  return os_open_with(path, O_RDWR | O_CREAT | O_EXCL | OURS);
}

int os_open_shared_file(const char *path) {
  return os_open_with(path, O_RDWR);
}

int os_open_file(const char *path) {
  return os_open_with(path, O_RDONLY | O_NONBLOCK);
}

void os_write(int descriptor, const char *text, size_t length) {
  struct quiet quiet = begin_growth();
  while (length) {
    ssize_t written = syscall(SYS_write, descriptor, text, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    text += written;
    length -= (size_t)written;
  }
  end_growth(quiet);
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
  int descriptor = os_open_with(path, O_RDONLY);
  size_t length = descriptor < 0 ? 0 : read_some(descriptor, text, capacity - 1);
  if (descriptor >= 0) os_close(descriptor);
  text[length] = 0;
  return length;
}

bool os_copy_text(const char *path, int descriptor) {
  char text[4096];
  int source = os_open_with(path, O_RDONLY);
  if (source < 0) return false;
  for (size_t length; (length = read_some(source, text, sizeof text)) > 0;)
    os_write(descriptor, text, length);
  os_close(source);
  return true;
}

void os_read_link(const char *path, char *text, size_t capacity) {
  long length = syscall(SYS_readlinkat, AT_FDCWD, path, text, capacity - 1);
  text[length < 0 ? 0 : length] = 0;
}

struct lines {
  const char *path;
  char *buffer;
  size_t capacity;
  void (*each)(void *context, const char *line);
  void *context;
  bool read;
};

RARE static void read_lines(void *context) {
  struct lines *lines = context;
  char *buffer = lines->buffer;
  int descriptor = os_open_with(lines->path, O_RDONLY);
  if (descriptor < 0) return;
  size_t length = 0, capacity = lines->capacity;
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
    if (!cut) lines->each(lines->context, buffer);
    cut = end == length && !ended;
    memmove(buffer, buffer + next, length - next);
    length -= next;
  }
  os_close(descriptor);
  lines->read = true;
}

bool os_each_line(const char *path, char *buffer, size_t capacity,
                  void (*each)(void *context, const char *line), void *context) {
  struct lines lines = {path, buffer, capacity, each, context, false};
  os_apart(read_lines, &lines);
  return lines.read;
}
