/* What the kernel features are for, as people read it. */
#ifndef PATALLOC_FEATURE_TEXTS_H
#define PATALLOC_FEATURE_TEXTS_H

#include "os/features.h"

/* No pointers, which each process would relocate. */
struct os_feature_text {
  char since[72], purpose[72], fallback[64];
};
extern const struct os_feature_text os_feature_texts[OS_FEATURES];

#endif
