/* What glibc's own build gives its tests, where they are built outside of it. */
#include <limits.h>

#define TIMEOUTFACTOR 1
#define attribute_hidden
#define libc_hidden_proto(...)
#define libc_hidden_def(...)
#ifndef __attribute_optimization_barrier__
#define __attribute_optimization_barrier__ __attribute__((noinline, noclone))
#endif

/* Where things lie in its build: no test of malloc looks there. */
#define SRCDIR_PATH          "."
#define OBJDIR_PATH          "."
#define OBJDIR_ELF_LDSO_PATH "."
#define INSTDIR_PATH         "."
#define LIBDIR_PATH          "."
#define BINDIR_PATH          "."
#define SBINDIR_PATH         "."
#define SLIBDIR_PATH         "."
#define ROOTSBINDIR_PATH     "."
#define COMPLOCALEDIR_PATH   "."
#define SYSCONFDIR_PATH      "."
