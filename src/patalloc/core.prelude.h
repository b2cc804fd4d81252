#include "os/init.h"
#include "patalloc.h"
#include "raw.h"
#include "watch/adopted.h"
#include "watch/code.h"
#include <dlfcn.h>
#include <errno.h>
