/* Dispositions: what the program has set for the signals whose handler is ours (sigaction(2)). Of
 * faults ours stays installed, with the mask and the flags that the program's asks for. Of others
 * by which a process dies it is there where the program has set nothing, and gives way to a handler
 * of its own. */
#ifndef PATALLOC_DISPOSITION_H
#define PATALLOC_DISPOSITION_H

#include <signal.h>
#include <stdbool.h>

enum { DISPOSITION_FAULTS = 2, DISPOSITION_ERRORS = 7, DISPOSITIONS = 10 };
extern const int disposition_signals[DISPOSITIONS]; /* faults; other errors; requests to end */

/* Whether a process dies of that signal by an error, and not as it was asked to. */
bool disposition_is_error(int signal);

/* sigaction(2) as it is underneath. */
typedef int sigaction_function(int, const struct sigaction *, struct sigaction *);

/* From here on a handler may be installed: fork(2) must be handled. */
void disposition_expect(sigaction_function *underneath);

/* Installs the handler for so many of the signals, the first ones, if it isn't; with `tags` it is
 * given the tags of pointers, too. Any threads may do so at the same time; not a signal handler. */
typedef void disposition_handler(int signal, siginfo_t *info, void *context);
void disposition_install(disposition_handler *handler, int signals, bool tags);

/* What sigaction(2) does for one of these signals, as the program sees it, whether the handler is
 * installed already or not. Returns what that returns; DISPOSITION_NOT_OURS where none is expected
 * in this process, and the signal is the program's alone. Async-signal-safe, as all below. */
enum { DISPOSITION_NOT_OURS = 1 };
int disposition_action(int signal, const struct sigaction *action, struct sigaction *before);

/* The program's, for one of these signals; whether it is a handler. */
struct sigaction disposition_of(int signal);
static inline bool disposition_is_handler(const struct sigaction *action) {
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

/* Gives a signal its default for good. */
void disposition_end(int signal);

/* Around fork, with all signals blocked: a handler may set dispositions, and would wait for its own
 * thread. In the child the last one, too. */
void disposition_lock(void);
void disposition_unlock(void);
void disposition_restart(void);

#endif
