/* dlclose(3), in front of the C library's: code may have left the address space when it is done. */
#include "base/rare.h"
#include "patalloc.h"
#include "preload/next.h"
#include "watch/step.h"

RARE PATALLOC_API int dlclose(void *handle) {
  int (*next)(void *);
  *(void **)&next = next_symbol("dlclose");
  int result = next ? next(handle) : -1;
  step_forget();
  return result;
}
