/* sigaction(2) and its kin, in front of the C library's: for signals whose handler is ours
 * (watch/disposition.h) the program's is noted, and called by ours. */
#include "base/rare.h"
#include "patalloc.h"
#include "preload/next.h"
#include "watch/disposition.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

#define EXPORT PATALLOC_API

/* In a handler it has been looked up already: disposition_expect calls it first. */
int next_sigaction(int signal, const struct sigaction *action, struct sigaction *before) {
  static sigaction_function *_Atomic next;
  if (!next) next = (sigaction_function *)next_symbol("sigaction");
  return next(signal, action, before);
}

RARE EXPORT int sigaction(int signal, const struct sigaction *action, struct sigaction *before) {
  struct sigaction given, old; /* they may be the same one */
  if (action) given = *action;
  int result = disposition_action(signal, action ? &given : NULL, &old);
  if (result == DISPOSITION_NOT_OURS) return next_sigaction(signal, action, before);
  if (before && !result) *before = old;
  return result;
}

RARE EXPORT int __sigaction(int signal, const struct sigaction *action, struct sigaction *before) {
  return sigaction(signal, action, before);
}

/* Those whose system calls siginterrupt(3) has fail when they come: it is kept for signal(2). */
static _Atomic uint64_t interrupting;

RARE EXPORT int siginterrupt(int number, int interrupts) {
  struct sigaction action;
  int (*next)(int, int);
  *(void **)&next = next_symbol("siginterrupt");
  int result = disposition_action(number, NULL, &action);
  if (result == DISPOSITION_NOT_OURS) return next ? next(number, interrupts) : (errno = ENOSYS, -1);
  if (result) return -1;
  uint64_t bit = (uint64_t)1 << (number - 1);
  action.sa_flags = interrupts ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
  if (disposition_action(number, &action, NULL)) return -1;
  if (interrupts)
    interrupting |= bit;
  else
    interrupting &= ~bit;
  return 0;
}

RARE EXPORT int sigignore(int number) {
  const struct sigaction action = {.sa_handler = SIG_IGN};
  return sigaction(number, &action, NULL);
}

/* signal(2) and the older ones, which differ in the flags that they set. */

typedef void handler_function(int);

RARE static handler_function *set_handler(int number, handler_function *handler, int flags,
                                          const char *name) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, before;
  if (handler == SIG_ERR) return errno = EINVAL, SIG_ERR; /* as the C library has it */
  if (!(flags & SA_NODEFER)) sigaddset(&action.sa_mask, number);
  bool known = number > 0 && number < NSIG;
  if (known && interrupting >> (number - 1) & 1) action.sa_flags &= ~SA_RESTART;
  int result = disposition_action(number, &action, &before);
  if (result != DISPOSITION_NOT_OURS) return result ? SIG_ERR : before.sa_handler;
  handler_function *(*next)(int, handler_function *);
  *(void **)&next = next_symbol(name);
  return next ? next(number, handler) : (errno = ENOSYS, SIG_ERR);
}

RARE EXPORT handler_function *signal(int number, handler_function *handler) {
  return set_handler(number, handler, SA_RESTART, "signal");
}

RARE EXPORT handler_function *bsd_signal(int number, handler_function *handler) {
  return signal(number, handler);
}

RARE EXPORT handler_function *ssignal(int number, handler_function *handler) {
  return signal(number, handler);
}

RARE EXPORT handler_function *__sysv_signal(int number, handler_function *handler) {
  return set_handler(number, handler, SA_RESETHAND | SA_NODEFER, "__sysv_signal");
}

RARE EXPORT handler_function *sysv_signal(int number, handler_function *handler) {
  return __sysv_signal(number, handler);
}

/* Also takes the signal out of the thread's mask or, for SIG_HOLD, only puts it there (sigset(3)).
 */
RARE EXPORT handler_function *sigset(int number, handler_function *handler) {
  struct sigaction before;
  handler_function *(*next)(int, handler_function *);
  *(void **)&next = next_symbol("sigset");
  if (!next) return errno = ENOSYS, SIG_ERR;
  int result = disposition_action(number, NULL, &before);
  if (result == DISPOSITION_NOT_OURS) return next(number, handler);
  if (result) return SIG_ERR;
  sigset_t mask, one;
  sigemptyset(&one);
  sigaddset(&one, number);
  pthread_sigmask(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &one, &mask);
  struct sigaction action = {.sa_handler = handler};
  if (handler != SIG_HOLD && disposition_action(number, &action, NULL)) return SIG_ERR;
  return sigismember(&mask, number) ? SIG_HOLD : before.sa_handler;
}
