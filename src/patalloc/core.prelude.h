#include <dlfcn.h>
#include <errno.h>
#include "patalloc.h"
