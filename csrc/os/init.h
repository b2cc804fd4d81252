/* The start of this floor. */
#ifndef PATALLOC_INIT_H
#define PATALLOC_INIT_H

#include "os/os.h"

/* Sets the page size, and tells the option `without` what the features are called. Idempotent; to
 * be called before anything else of the core. */
void os_init(void);

#endif
