/* What the kernel boundary rests on (see os.h). */
#include "os/os.h"

size_t os_page;
unsigned os_page_shift;
