/* Steps up the stack: from a place in a function to the call of it, by the function's call frame
 * information (cfi.h). A rule that was found is kept: a step takes some nanoseconds then, where the
 * compiler's unwinder takes a hundred. May fault, where a stack is not as it should be. */
#ifndef PATALLOC_STEP_H
#define PATALLOC_STEP_H

#include <stdbool.h>
#include <stdint.h>

/* Where a function is: at an instruction (an address inside it: for a call the one before where it
 * returns to, as that may be the next function's), with these registers. */
struct frame {
  uintptr_t place, sp, fp;
  uintptr_t link; /* Arm's return address, of a function that has called none */
};

/* This function's. */
__attribute__((always_inline)) static inline struct frame step_here(void) {
  struct frame here = {0};
#ifdef __aarch64__
  __asm__ volatile("adr %0, .\n\tmov %1, sp\n\tmov %2, x29\n\tmov %3, x30"
                   : "=r"(here.place), "=r"(here.sp), "=r"(here.fp), "=r"(here.link));
#else
  __asm__ volatile("lea (%%rip), %0\n\tmov %%rsp, %1\n\tmov %%rbp, %2"
                   : "=r"(here.place), "=r"(here.sp), "=r"(here.fp));
#endif
  return here;
}

/* The place of the call that returns there: the address without the signature that Arm's pointer
 * authentication may have put into it, less one. */
static inline uintptr_t step_before(uintptr_t address) {
#ifdef __aarch64__
  register uintptr_t x30 __asm__("x30") = address;
  __asm__("hint #7" : "+r"(x30)); /* xpaclri, which does nothing before Armv8.3 */
  address = x30;
#endif
  return address - 1;
}

/* To the caller; its place is 0 where there is none. False where that is not clear. `slot` has
 * where the return address lies on the stack, NULL for nowhere. Safe as cfi_find. */
bool step_up(struct frame *frame, const uintptr_t **slot);

/* To be called when code has left the address space. Any thread may do so. */
void step_forget(void);

#endif
