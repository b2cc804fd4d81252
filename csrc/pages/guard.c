/* Guards inside a run's spans (see guard.h). */
#include "pages/guard.h"

#include "os/features.h"

#include <errno.h>

/* Half of the VMAs at most, so that guards never take those that spans need: a block without its
 * guards is better than one without its pattern. */
static bool vmas_left(void) {
  enum { VMAS_A_GUARD = 2 };
  return vmas_used + VMAS_A_GUARD <= vmas_allowed() / 2;
}

/* *touchable: whether what has no guard then can be written. Of mappings of which some are locked a
 * part may have markers by now (madvise(2)), and of many ranges by one call; they stay where they
 * can't be taken away, but for mappings that can have none (EINVAL). */
static bool shut(struct run *run, uintptr_t from, uintptr_t to, const struct options *options,
                 bool *touchable) {
  *touchable = true;
  if (os_uses(options, OS_GUARD_REGIONS)) {
    bool installed = os_guard_install(from, to - from);
    *touchable = installed || os_guard_remove(from, to - from) || errno == EINVAL;
    if (installed || !*touchable) run->guards |= GUARD_MARKERS;
    if (installed) return true;
  }
  if (!vmas_left()) return false;
  if (*touchable) run_reset(run, from, to - from, options);
  if (!os_protect(from, to - from, false)) return false;
  run->guards |= GUARD_PROTECTED;
  run_count_vmas(run);
  return true;
}

bool guard_shut(struct run *run, uintptr_t from, uintptr_t to, const struct options *options) {
  bool touchable;
  return shut(run, from, to, options, &touchable);
}

bool guard_install(struct run *run, uintptr_t from, uintptr_t to, const struct options *options) {
  bool touchable = true;
  if (from >= to || (options->guard_pages && shut(run, from, to, options, &touchable))) return true;
  if (touchable) run_reset(run, from, to - from, options);
  return false;
}

unsigned guard_install_all(struct run *run, const struct os_range *ranges, unsigned count,
                           const struct options *options) {
  unsigned missing = 0;
  if (count > 2 && options->guard_pages && os_uses(options, OS_GUARD_REGIONS) &&
      os_uses(options, OS_PROCESS_MADVISE) && os_guard_install_all(ranges, count)) {
    run->guards |= GUARD_MARKERS;
    return 0;
  }
  for (unsigned i = 0; i < count; i++)
    missing += !guard_install(run, ranges[i].start, ranges[i].start + ranges[i].size, options);
  return missing;
}

bool guard_remove(struct run *run, uintptr_t from, uintptr_t to) {
  if (from >= to) return true;
  uint8_t kinds = run->guards;
  if (kinds & GUARD_MARKERS && !os_guard_remove(from, to - from)) return false;
  return !(kinds & GUARD_PROTECTED) || os_protect(from, to - from, true);
}
