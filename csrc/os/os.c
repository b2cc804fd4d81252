/* What the kernel boundary rests on (see os.h). */
#include "os/os.h"

size_t os_page;
unsigned os_page_shift;

#ifdef PATALLOC_FAULTS
#include "os/call.h"

int (*os_fault)(const char *call);

bool os_refuses(const char *call) {
  int error = os_fault ? os_fault(call) : 0;
  if (error) errno = error;
  return error != 0;
}
#endif
