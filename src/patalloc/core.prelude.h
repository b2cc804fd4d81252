#include "codec.h"
#include "fold.h"
#include "os/init.h"
#include "os/process.h"
#include "patalloc.h"
#include "plan.h"
#include "raw.h"
#include "watch/adopted.h"
#include "watch/code.h"
#include "watch/ring.h"
#include "watch/stack.h"
#include <dlfcn.h>
#include <errno.h>

/* watch/report.h can't be included: Python.h has a struct of a name that stats.h has an enum of. */
extern uint32_t history_began; /* watch/history.h, likewise */
void report_to(int descriptor);

#define RING_BYTES sizeof(struct ring)
