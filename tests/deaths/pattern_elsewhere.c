/* wild-access: SIGSEGV, access at an address that is none, or is not aligned as the instruction
 * wants it */
#include "death.h"

/* Registers that have nothing to do with it hold the pattern, as a fill leaves them. */
static void act(void) {
  unsigned long address = good ? (unsigned long)&good : 0x8000000000001000;
#ifdef __x86_64__
  __asm__ volatile("movabs $0xabababababababab, %%rdi\n\t" /* HERE */
                   "mov %%rdi, %%r10\n\t"
                   "mov (%0), %%al"
                   :
                   : "r"(address)
                   : "rdi", "r10", "rax");
#else
  raise(good ? 0 : SIGSEGV);
#endif
}
