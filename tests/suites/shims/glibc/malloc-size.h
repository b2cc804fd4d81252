/* The alignment that malloc gives, as glibc's tests ask for it. */
#include <stddef.h>

#define SIZE_SZ           sizeof(size_t)
#define MALLOC_ALIGNMENT  _Alignof(max_align_t)
#define MALLOC_ALIGN_MASK (MALLOC_ALIGNMENT - 1)
