/* Recovery (see recover.h). */
#undef _FORTIFY_SOURCE /* whose longjmp(3) refuses to leave a stack of our own */
#include "watch/recover.h"

#include <elf.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/auxv.h>

/* Made by the linker, for each file that it links (ld(1)). */
extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));

static _Thread_local sigjmp_buf *innermost __attribute__((tls_model("initial-exec")));
static _Thread_local bool any_code __attribute__((tls_model("initial-exec")));

bool recover_try_all(void (*function)(void *), void *argument) {
  any_code = true;
  bool done = recover_try(function, argument);
  any_code = false;
  return done;
}

bool recover_try(void (*function)(void *), void *argument) {
  sigjmp_buf here, *outer = innermost;
  bool done = false;
  if (!sigsetjmp(here, 0)) {
    innermost = &here; /* not before: the stack may end in that call */
    function(argument);
    done = true;
  }
  innermost = outer;
  return done;
}

/* The handler's mask is left as well. */
void recover_from(uintptr_t pc) {
  bool ours = any_code || recover_is_own(pc) || !recover_is_own((uintptr_t)recover_from);
  if (!innermost || !ours) return;
  sigset_t faults;
  sigemptyset(&faults);
  sigaddset(&faults, SIGSEGV);
  sigaddset(&faults, SIGBUS);
  pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
  siglongjmp(*innermost, 1);
}

/* Up to the end of the code. */
static uintptr_t own_size(void) {
  const Elf64_Phdr *segments =
      (const Elf64_Phdr *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);
  uintptr_t end = 1;
  if (getauxval(AT_PHDR) == (uintptr_t)segments) return end; /* the program's */
  for (unsigned i = 0; i < __ehdr_start.e_phnum; i++)
    if (segments[i].p_type == PT_LOAD && segments[i].p_flags & PF_X)
      end = segments[i].p_vaddr + segments[i].p_memsz;
  return end;
}

bool recover_is_own(uintptr_t pc) {
  static _Atomic uintptr_t size;
  if (!size) size = own_size();
  return pc - (uintptr_t)&__ehdr_start < size;
}
