/* The start of this floor (see init.h). */
#include "os/init.h"

#include "base/value.h"
#include "os/features.h"

#include <sys/auxv.h>

void os_init(void) {
  if (os_page) return;
  size_t page = getauxval(AT_PAGESZ);
  value_name_features(os_feature_names);
  os_page_shift = (unsigned)__builtin_ctzl(page);
  os_page = page;
}
