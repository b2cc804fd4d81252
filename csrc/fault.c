/* Faults (see fault.h). The handler is async-signal-safe; it reads the records without locks, as
 * the thread that holds one may be the one that faulted. */
#include "fault.h"

#include "mte.h"
#include "os.h"
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#ifdef __aarch64__

/* Newer than the oldest C library that this builds with (sigaction(2)). */
#ifndef SEGV_MTEAERR
#define SEGV_MTEAERR 8 /* Linux 5.10 */
#define SEGV_MTESERR 9
#endif
enum { EXPOSE_TAGBITS = 0x800 }; /* Linux 5.11: the pointer's tag in si_addr */

static struct sigaction before;

/* Bit 6 of the exception syndrome tells a store from a load (Arm ARM, ESR_EL1: WnR); the kernel
 * gives it in a record of the signal frame (asm/sigcontext.h). */
static const char *access_of(const ucontext_t *context) {
  enum { STORE = 1 << 6 };
  const char *record = (const char *)context->uc_mcontext.__reserved;
  for (;;) {
    const uint32_t *head = (const uint32_t *)record;
    if (!head[0] || !head[1]) return "access";
    if (head[0] == ESR_MAGIC) return *(const uint64_t *)(record + 8) & STORE ? "store" : "load";
    record += head[1];
  }
}

static void pass_on(int signal, siginfo_t *info, void *context) {
  if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
    return before.sa_handler(signal);
  sigaction(signal, &before, NULL); /* a fault happens again on return */
  bool happens_again = info->si_code > 0 && info->si_code != SEGV_MTEAERR;
  if (!happens_again) raise(signal);
}

static void on_fault(int signal, siginfo_t *info, void *context) {
  int error = errno;
  bool unchecked = mte_ignore(true);
  if (info->si_code == SEGV_MTESERR && region_holds(info->si_addr))
    report_tag_mismatch(access_of(context), (uintptr_t)info->si_addr);
  if (info->si_code == SEGV_MTEAERR) report_late_tag_mismatch();
  mte_ignore(unchecked);
  pass_on(signal, info, context);
  errno = error;
}

void fault_watch(void) {
  static _Atomic bool watching;
  struct sigaction action = {.sa_sigaction = on_fault,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK | EXPOSE_TAGBITS};
  if (!atomic_exchange(&watching, true)) sigaction(SIGSEGV, &action, &before);
}

#else

void fault_watch(void) {}

#endif
