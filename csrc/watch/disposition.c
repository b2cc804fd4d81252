/* Dispositions (see disposition.h). */
#include "watch/disposition.h"

#include "base/lock.h"
#include "os/process.h"

#include <errno.h>
#include <string.h>

enum { PAST = 8 };
enum { EXPOSE_TAGBITS = 0x800 }; /* Linux 5.11: the pointer's tag in si_addr */

const int disposition_signals[DISPOSITIONS] = {SIGSEGV, SIGBUS,  SIGILL,  SIGFPE, SIGTRAP,
                                               SIGSYS,  SIGABRT, SIGTERM, SIGINT, SIGHUP};

/* Each stays for a while when another is set, for a handler that is reading it. */
static struct disposition {
  _Atomic unsigned now;
  struct sigaction past[PAST];
} dispositions[DISPOSITIONS];

static struct lock lock;          /* guards all changes; taken with all signals blocked */
static _Atomic int watched;       /* for how many of them the handler is installed */
static _Atomic bool exposes_tags; /* whether the handler is given the tags of pointers */
static disposition_handler *handler;
static sigaction_function *_Atomic underneath; /* set by each heap, to the same */
static _Atomic int process;                    /* in which a handler is expected; 0: in none */

static int index_of(int signal) {
  for (int i = 0; i < DISPOSITIONS; i++)
    if (disposition_signals[i] == signal) return i;
  return -1;
}

bool disposition_is_error(int signal) {
  return (unsigned)index_of(signal) < DISPOSITION_ERRORS;
}

struct sigaction disposition_of(int signal) {
  struct disposition *disposition = &dispositions[index_of(signal)];
  struct sigaction found;
  unsigned now;
  do {
    now = disposition->now;
    memcpy(&found, &disposition->past[now % PAST], sizeof found);
  } while (disposition->now - now >= PAST - 1);
  return found;
}

/* One that is reset when it is called leaves the default behind, which is for ours to see. */
static bool gives_way(int signal, const struct sigaction *program) {
  return index_of(signal) >= DISPOSITION_FAULTS && disposition_is_handler(program) &&
         !(program->sa_flags & SA_RESETHAND);
}

/* Ours, with the mask and the flags that the program's asks for. Who ignores the signal has exec(2)
 * pass that on, and so it stays. */
static int install(int signal, const struct sigaction *program) {
  struct sigaction ours = *program;
  if (program->sa_handler != SIG_IGN && !gives_way(signal, program)) {
    int flags = disposition_is_handler(program) ? SA_NODEFER | SA_ONSTACK | SA_RESTART : 0;
    ours.sa_flags = (program->sa_flags & flags) | SA_SIGINFO;
    if (exposes_tags) ours.sa_flags |= EXPOSE_TAGBITS;
    if (!disposition_is_handler(program)) ours.sa_flags |= SA_ONSTACK;
    ours.sa_sigaction = handler;
  }
  return underneath(signal, &ours, NULL);
}

static void set_disposition(int signal, const struct sigaction *action) {
  struct disposition *disposition = &dispositions[index_of(signal)];
  disposition->past[(disposition->now + 1) % PAST] = *action;
  disposition->now++;
}

static sigset_t lock_with_signals_blocked(void) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  lock_take(&lock);
  return before;
}

static void unlock_with(const sigset_t *mask) {
  lock_drop(&lock);
  pthread_sigmask(SIG_SETMASK, mask, NULL);
}

/* With the lock held also where the handler is not installed: it might be just then, over what the
 * program sets. A child of vfork(2) has the parent's memory, but actions of its own, and the lock
 * is the parent's. */
int disposition_action(int signal, const struct sigaction *action, struct sigaction *before) {
  if (index_of(signal) < 0 || process != os_process_id()) return DISPOSITION_NOT_OURS;
  sigset_t mask = lock_with_signals_blocked();
  int result = 0;
  if (index_of(signal) >= watched) {
    result = underneath(signal, action, before);
  } else {
    struct sigaction now = disposition_of(signal);
    result = action ? install(signal, action) : 0;
    if (action && !result) set_disposition(signal, action);
    if (before && !result) *before = now;
  }
  int error = errno;
  unlock_with(&mask);
  errno = error;
  return result;
}

/* The first call looks it up, for which the dynamic linker takes a lock: not with ours held. */
void disposition_expect(sigaction_function *next) {
  struct sigaction unused;
  underneath = next;
  next(SIGSEGV, NULL, &unused);
  process = os_process_id();
}

static void note_program(int signal) {
  struct sigaction found;
  if (underneath(signal, NULL, &found) == 0) set_disposition(signal, &found);
}

void disposition_install(disposition_handler *called, int signals, bool tags) {
  if (watched >= signals && (exposes_tags || !tags)) return;
  sigset_t mask = lock_with_signals_blocked();
  handler = called;
  if (tags) exposes_tags = true;
  for (int i = watched; i < signals; i++) note_program(disposition_signals[i]);
  if (watched < signals) watched = signals;
  for (int i = 0; i < watched; i++) {
    struct sigaction program = disposition_of(disposition_signals[i]);
    install(disposition_signals[i], &program);
  }
  unlock_with(&mask);
}

void disposition_end(int signal) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  underneath(signal, &action, NULL);
}

void disposition_lock(void) {
  lock_take(&lock);
}

void disposition_unlock(void) {
  lock_drop(&lock);
}

void disposition_restart(void) {
  if (process) process = os_process_id();
}
