#include "patalloc.h"
#include <dlfcn.h>
#include <errno.h>
