/* heap-buffer-overflow write after 1 */
#include "error.h"

static char *volatile expected;

static void on_fault(int number, siginfo_t *info, void *context) {
  _exit(number == SIGSEGV && context && (getenv("FAULT_ALONE") || info->si_addr == expected) ? 42
                                                                                             : 1);
}

int main(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  char *block = malloc(SIZE); /* ALLOCATED */
  expected = block + SIZE;
  *aim(block + SIZE) = 1; /* ACCESS */
}
