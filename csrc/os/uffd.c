/* Missing pages (see uffd.h). */
#include "os/uffd.h"

#include "os/call.h"
#include "os/files.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Missing pages, userfaultfd(2) */

int os_uffd_open(void) {
  if (os_refuses("userfaultfd")) return -1;
  long descriptor = syscall(SYS_userfaultfd, O_CLOEXEC);
  struct uffdio_api api = {.api = UFFD_API};
  if (descriptor < 0 || syscall(SYS_ioctl, descriptor, UFFDIO_API, &api) == 0)
    return (int)descriptor;
  os_close((int)descriptor);
  return -1;
}

bool os_uffd_watch(int descriptor, uintptr_t address, size_t size) {
  struct uffdio_register range = {.range = {address, size}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  if (os_refuses("ioctl")) return false;
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
