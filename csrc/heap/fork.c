/* Heaps and fork(2) (see fork.h). */
#include "heap/fork.h"

#include "blocks/reset.h"
#include "blocks/slot.h"
#include "os/memory.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "watch/disposition.h"
#include "watch/history.h"
#include "watch/ledger.h"
#include "watch/report.h"

#include <pthread.h>
#include <signal.h>

static struct lock heaps_lock; /* guards the list */
static struct patalloc_heap *heaps;
static sigset_t mask; /* of the thread that forks; guarded by the same */

_Atomic bool fork_handled;

/* The C library's list of streams, which it locks in fork(2) before malloc's locks, and after these
 * handlers: a thread that has it in fflush(NULL) waits for one that has a stream, and that for
 * malloc. A recursive lock of glibc's (GLIBC_2.2.5). */
void _IO_list_lock(void) __attribute__((weak));
void _IO_list_unlock(void) __attribute__((weak));
void _IO_list_resetlock(void) __attribute__((weak));

/* Locks are taken in this order. No handler of the program's may run before all are: it may do what
 * is async-signal-safe, and sigaction(2) takes one. But of faults, which would end the process
 * while they are blocked, and report nothing. */
RARE static void before_fork(void) {
  sigset_t all, before;
  sigfillset(&all);
  for (int i = 0; i < DISPOSITION_ERRORS; i++) sigdelset(&all, disposition_signals[i]);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  if (_IO_list_lock) _IO_list_lock();
  lock_take(&heaps_lock);
  mask = before;
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next) {
    lock_take(&heap->lock);
    EACH_ARENA(heap, arena) lock_take(&arena->lock);
    lock_take(&heap->quarantine.lock);
  }
  disposition_lock();
  history_lock();
  slot_lock();
  ledger_lock();
  refpage_lock_all();
  run_lock();
  region_lock();
  lock_forking = true;
}

RARE static void drop_all(void) {
  lock_forking = false;
  region_unlock();
  run_unlock();
  refpage_unlock_all();
  ledger_unlock();
  slot_unlock();
  history_unlock();
  disposition_unlock();
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next) {
    lock_drop(&heap->quarantine.lock);
    EACH_ARENA(heap, arena) lock_drop(&arena->lock);
    lock_drop(&heap->lock);
  }
}

RARE static void end_fork(void) {
  sigset_t before = mask;
  lock_drop(&heaps_lock);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

RARE static void after_fork(void) {
  drop_all();
  if (_IO_list_unlock) _IO_list_unlock();
  end_fork();
}

RARE static void restart(struct patalloc_heap *heap) {
  content_restart(&heap->contents);
  usage_restart(&heap->usage);
  stats_restart(&heap->stats);
}

RARE static void after_fork_in_child(void) {
  drop_all();
  if (_IO_list_resetlock) _IO_list_resetlock();
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next) restart(heap);
  reset_restart();
  os_forget_calls();
  os_forget_thread();
  chunk_restart();
  disposition_restart();
  report_forked();
  os_set_locking(OS_LOCKS_NOTHING); /* fork(2): locks are not inherited */
  for (struct patalloc_heap *heap = heaps; heap; heap = heap->next)
    EACH_ARENA(heap, arena) reset_settle(arena);
  end_fork();
}

void fork_handle(void) {
  if (!atomic_exchange(&fork_handled, true))
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

void fork_enlist(struct patalloc_heap *heap) {
  lock_take(&heaps_lock);
  if (!heap->listed) {
    heap->listed = true;
    heap->next = heaps;
    heaps = heap;
  }
  lock_drop(&heaps_lock);
}

void fork_delist(struct patalloc_heap *heap) {
  lock_take(&heaps_lock);
  struct patalloc_heap **link = &heaps;
  while (*link && *link != heap) link = &(*link)->next;
  if (*link) *link = heap->next;
  lock_drop(&heaps_lock);
}
