/* The start of this floor (see init.h). */
#include "os/init.h"

#include "base/lock.h"
#include "base/value.h"
#include "os/features.h"

#include <sys/auxv.h>

void os_init(void) {
  static struct lock once;
  static _Atomic bool done;
  if (done) return;
  lock_take(&once);
  os_page = getauxval(AT_PAGESZ);
  os_page_shift = (unsigned)__builtin_ctzl(os_page);
  value_name_features(os_feature_names);
  done = true;
  lock_drop(&once);
}
