/* Kernel features, each probed by trying it when first asked for, and again where the probe failed
 * for want of something (os.h says what holds for all functions). */
#ifndef PATALLOC_FEATURES_H
#define PATALLOC_FEATURES_H

#include "base/option.h"
#include "os/os.h"

enum os_feature {
  OS_MEMFD,
  OS_MREMAP_DONTUNMAP,
  OS_GUARD_REGIONS,
  OS_DONTNEED_LOCKED,
  OS_PROCESS_MADVISE,
  OS_PAGEMAP_SCAN,
  OS_PROC,
  OS_POPULATE,
  OS_HUGE_PAGES,
  OS_DEVICE,
  OS_MMAP_WRAP,
  OS_USERFAULTFD,
  OS_UFFD_MOVE,
  OS_MTE,
  OS_TAG_REFPAGES,
  OS_FEATURES,
};

extern const char *const os_feature_names[OS_FEATURES + 1]; /* the option `without` has them */

/* Whether the kernel has it; and whether these options let it be used, too. */
bool os_has(enum os_feature feature);
bool os_uses(const struct options *options, enum os_feature feature);

#endif
