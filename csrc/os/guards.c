/* Pages that any access faults on (see guards.h). */
#include "os/guards.h"

#include "os/call.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

bool os_guard_install(uintptr_t address, size_t size) {
  return os_advise(address, size, MADV_GUARD_INSTALL);
}

bool os_guard_remove(uintptr_t address, size_t size) {
  return os_advise(address, size, MADV_GUARD_REMOVE);
}

bool os_guard_install_all(const struct os_range *ranges, unsigned count) {
  return os_advise_all(ranges, count, MADV_GUARD_INSTALL);
}

bool os_guard_remove_all(const struct os_range *ranges, unsigned count) {
  return os_advise_all(ranges, count, MADV_GUARD_REMOVE);
}

bool os_protect(uintptr_t address, size_t size, bool accessible) {
  if (os_refuses("mprotect")) return false;
  return syscall(SYS_mprotect, address, size, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) == 0;
}
