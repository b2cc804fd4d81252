/* Call frame information: by what rule a function's caller is found, at an instruction of the
 * function. Compilers put it beside the code for exceptions (.eh_frame: Linux Standard Base Core
 * 5.0, 10.6; its instructions: DWARF 5, 6.4). */
#ifndef PATALLOC_CFI_H
#define PATALLOC_CFI_H

#include <stdbool.h>
#include <stdint.h>

/* The canonical frame address, or CFA, is what the stack pointer was before the call. */
enum cfi_cfa {
  CFI_HARD,    /* by a rule that isn't one of those below */
  CFI_BY_SP,   /* at `offset` from the stack pointer */
  CFI_BY_FP,   /* from the frame pointer */
  CFI_FROM_FP, /* what is stored there; the caller's frame pointer is stored at `fp` from it, too */
};

/* What is stored at an offset of 0 from the CFA is in its register still. */
struct cfi_rule {
  enum cfi_cfa cfa;
  int32_t offset;
  int32_t fp, ra; /* where the caller's frame pointer and the return address are, from the CFA */
  bool last;      /* nobody called the function */
};

/* The rule at an instruction; false where nothing is known of code there. May fault, where what is
 * read is not as it should be. Async-signal-safe where the C library has _dl_find_object (glibc
 * 2.35); before that it may wait for another thread's dlopen(3). */
bool cfi_find(uintptr_t pc, struct cfi_rule *rule);

#endif
