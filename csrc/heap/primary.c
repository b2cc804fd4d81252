/* The primary (see primary.h). */
#include "heap/primary.h"

struct primary primary;
