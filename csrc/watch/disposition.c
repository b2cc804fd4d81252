/* Dispositions (see disposition.h). */
#include "watch/disposition.h"

#include "base/lock.h"
#include "os/process.h"

#include <string.h>

enum { PAST = 8 };
enum { EXPOSE_TAGBITS = 0x800 }; /* Linux 5.11: the pointer's tag in si_addr */

const int disposition_signals[DISPOSITIONS] = {SIGSEGV, SIGBUS};

/* Each stays for a while when another is set, for a handler that is reading it. */
static struct disposition {
  _Atomic unsigned now;
  struct sigaction past[PAST];
} dispositions[DISPOSITIONS];

static struct lock lock;          /* guards all changes; taken with all signals blocked */
static _Atomic int watching;      /* the process that has the handler; 0: none yet */
static _Atomic bool exposes_tags; /* whether the handler is given the tags of pointers */
static disposition_handler *handler;
static sigaction_function *_Atomic underneath; /* NULL: no handler is expected */

static int index_of(int signal) {
  for (int i = 0; i < DISPOSITIONS; i++)
    if (disposition_signals[i] == signal) return i;
  return -1;
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

/* Ours, with the mask and the flags that the program's asks for. Who ignores the signal has exec(2)
 * pass that on, and so it stays. */
static int install(int signal, const struct sigaction *program) {
  struct sigaction ours = *program;
  if (program->sa_handler != SIG_IGN) {
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

/* A child of vfork(2) has the parent's memory, but actions of its own. With the lock held also
 * where the handler is not installed: it might be just then, over what the program sets. */
bool disposition_action(int signal, const struct sigaction *action, struct sigaction *before) {
  if (index_of(signal) < 0 || !underneath) return false;
  sigset_t mask = lock_with_signals_blocked();
  if (watching != os_process_id()) {
    underneath(signal, action, before);
  } else {
    if (before) *before = disposition_of(signal);
    if (action && install(signal, action) == 0) set_disposition(signal, action);
  }
  unlock_with(&mask);
  return true;
}

void disposition_expect(sigaction_function *next) {
  underneath = next;
}

static void note_program(int signal) {
  struct sigaction found;
  if (underneath(signal, NULL, &found) == 0) set_disposition(signal, &found);
}

static void install_all(void) {
  for (int i = 0; i < DISPOSITIONS; i++) {
    struct sigaction program = disposition_of(disposition_signals[i]);
    install(disposition_signals[i], &program);
  }
}

void disposition_install(disposition_handler *called, bool tags) {
  if (watching && (exposes_tags || !tags)) return;
  sigset_t mask = lock_with_signals_blocked();
  handler = called;
  if (tags) exposes_tags = true;
  for (int i = 0; !watching && i < DISPOSITIONS; i++) note_program(disposition_signals[i]);
  install_all();
  if (!watching) watching = os_process_id();
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
  if (watching) watching = os_process_id();
}
