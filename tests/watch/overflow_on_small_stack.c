/* heap-buffer-overflow write after 1 */
#include "error.h"

#include <sys/auxv.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

static void on_fault(int number) {
  _exit(number == SIGSEGV ? 44 : 1);
}

/* The alternate stack is hardly larger than what the kernel writes there, and a guard lies below.
 */
int main(void) {
  size_t size = getauxval(AT_MINSIGSTKSZ);
  if (size < (size_t)MINSIGSTKSZ) size = (size_t)MINSIGSTKSZ;
  size += 1024;
  size_t pages = (size + PAGE - 1) / PAGE * PAGE;
  char *memory =
      mmap(NULL, PAGE + pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(memory, PAGE, PROT_NONE);
  stack_t stack = {.ss_sp = memory + PAGE, .ss_size = size};
  struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
  if (sigaltstack(&stack, NULL)) return 2;
  sigaction(SIGSEGV, &action, NULL);
  char *block = malloc(SIZE); /* ALLOCATED */
  *aim(block + SIZE) = 1;     /* ACCESS */
}
