/* Guards inside a run's spans (see guard.h). */
#include "guard.h"

enum { MARKERS = 1, PROTECTED = 2, VMAS_A_GUARD = 2 };

bool guard_install(struct run *run, uintptr_t from, uintptr_t to, bool markers) {
  if (from >= to) return true;
  if (markers && os_guard_install(from, to - from)) {
    run->guards |= MARKERS;
    return true;
  }
  os_reset(from, to - from, true);
  if (vmas_used + VMAS_A_GUARD > vmas_allowed() || !os_protect(from, to - from, false))
    return false;
  run->guards |= PROTECTED;
  run->vmas += VMAS_A_GUARD;
  vmas_used += VMAS_A_GUARD;
  return true;
}

bool guard_remove(struct run *run, uintptr_t from, uintptr_t to) {
  if (from >= to) return true;
  uint8_t kinds = run->guards;
  if (kinds & MARKERS && !os_guard_remove(from, to - from)) return false;
  return !(kinds & PROTECTED) || os_protect(from, to - from, true);
}
