/* Missing pages (see uffd.h). */
#include "os/uffd.h"

#include "os/call.h"
#include "os/files.h"
#include "os/sandbox.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1 /* Linux 5.11 */
#endif
#ifndef UFFDIO_MOVE /* Linux 6.8, with MODE_DONTWAKE */
struct uffdio_move {
  uint64_t dst, src, len, mode;
  int64_t move;
};
#define UFFDIO_MOVE               _IOWR(UFFDIO, 0x05, struct uffdio_move)
#define UFFDIO_MOVE_MODE_DONTWAKE 1
#define UFFD_FEATURE_MOVE         (1 << 16)
#endif

/* Missing pages, userfaultfd(2) */

static bool control(int descriptor, unsigned long request, void *argument) {
  if (os_refuses("ioctl")) return false;
  if (!os_may_call()) return errno = EPERM, false;
  long failed = syscall(SYS_ioctl, descriptor, request, argument);
  os_called();
  return !failed;
}

static int open_with(int flags, uint64_t features) {
  if (os_is_sandboxed()) return errno = EPERM, -1;
  if (os_refuses("userfaultfd")) return -1;
  long descriptor = syscall(SYS_userfaultfd, O_CLOEXEC | flags);
  struct uffdio_api api = {.api = UFFD_API, .features = features};
  if (descriptor < 0 || syscall(SYS_ioctl, descriptor, UFFDIO_API, &api) == 0)
    return (int)descriptor;
  os_close((int)descriptor);
  return -1;
}

int os_uffd_open(void) {
  return open_with(0, 0);
}

bool os_uffd_watch(int descriptor, uintptr_t address, size_t size, bool follow) {
  uint64_t mode = UFFDIO_REGISTER_MODE_MISSING | (follow ? UFFDIO_REGISTER_MODE_WP : 0);
  struct uffdio_register range = {.range = {address, size}, .mode = mode};
  return control(descriptor, UFFDIO_REGISTER, &range);
}

/* Where the page is there by now, as another thread has faulted too, or is no longer wanted, it
 * remains to wake who waits. */
static void copy_page(int descriptor, uintptr_t to, const void *page, bool protect) {
  struct uffdio_copy copy = {
      .dst = to, .src = (uintptr_t)page, .len = os_page, .mode = protect ? UFFDIO_COPY_MODE_WP : 0};
  while (syscall(SYS_ioctl, descriptor, UFFDIO_COPY, &copy) != 0) {
    struct uffdio_range range = {to, os_page};
    if (errno == EAGAIN) continue; /* mappings are changing */
    if (errno == EINVAL && copy.mode) {
      copy.mode = 0; /* this kernel does not protect pages */
      continue;
    }
    syscall(SYS_ioctl, descriptor, UFFDIO_WAKE, &range);
    return;
  }
}

static void allow_writes(int descriptor, uintptr_t to) {
  struct uffdio_writeprotect allowed = {.range = {to, os_page}};
  while (syscall(SYS_ioctl, descriptor, UFFDIO_WRITEPROTECT, &allowed) != 0) {
    if (errno == EAGAIN) continue;
    syscall(SYS_ioctl, descriptor, UFFDIO_WAKE, &allowed.range);
    return;
  }
}

bool os_uffd_wait(int descriptor, struct uffd_fault *fault) {
  struct uffd_msg message;
  fault->access = UFFD_ACCESSES;
  ssize_t got = syscall(SYS_read, descriptor, &message, sizeof message);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got != sizeof message) return false;
  if (message.event != UFFD_EVENT_PAGEFAULT) return true;
  uint64_t flags = message.arg.pagefault.flags;
  fault->page = page_down(message.arg.pagefault.address);
  fault->access = flags & UFFD_PAGEFAULT_FLAG_WP      ? UFFD_WRITE_AFTER_READ
                  : flags & UFFD_PAGEFAULT_FLAG_WRITE ? UFFD_WRITE
                                                      : UFFD_READ;
  return true;
}

void os_uffd_answer(int descriptor, struct uffd_fault fault, const void *page, bool follow) {
  if (fault.access == UFFD_WRITE_AFTER_READ) return allow_writes(descriptor, fault.page);
  copy_page(descriptor, fault.page, page, follow && fault.access == UFFD_READ);
}

int os_uffd_open_mover(void) {
  return open_with(UFFD_USER_MODE_ONLY, UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MOVE);
}

bool os_uffd_make(int descriptor, uintptr_t to, const void *page) {
  struct uffdio_copy copy = {
      .dst = to, .src = (uintptr_t)page, .len = os_page, .mode = UFFDIO_COPY_MODE_DONTWAKE};
  return control(descriptor, UFFDIO_COPY, &copy);
}

bool os_uffd_move(int descriptor, uintptr_t from, uintptr_t to) {
  struct uffdio_move move = {
      .dst = to, .src = from, .len = os_page, .mode = UFFDIO_MOVE_MODE_DONTWAKE};
  return control(descriptor, UFFDIO_MOVE, &move);
}
