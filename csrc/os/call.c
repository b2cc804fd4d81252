/* Calls that tests have fail (see call.h). */
#include "os/call.h"

#ifdef PATALLOC_FAULTS
int (*os_fault)(const char *call);

bool os_refuses(const char *call) {
  int error = os_fault ? os_fault(call) : 0;
  if (error) errno = error;
  return error != 0;
}
#endif
