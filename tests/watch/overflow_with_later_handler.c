/* heap-buffer-overflow write after 1 */
#include "error.h"

static sigjmp_buf after;

static void on_fault(int number) {
  siglongjmp(after, number);
}

int main(void) {
  char *block = malloc(SIZE); /* ALLOCATED */
  signal(SIGSEGV, on_fault);
  if (!sigsetjmp(after, 1)) *aim(block + SIZE) = 1; /* ACCESS */
  signal(SIGSEGV, SIG_DFL);
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  return sigismember(&mask, SIGSEGV) ? 1 : 43;
}
