/* A mutex of one word, free when zero (futex(2); the protocol is the third of Drepper's "Futexes
 * Are Tricky"). pthread's would do, but its code lies in pages of the C library that a process may
 * otherwise never read. It lets the thread which forks through: fork's handlers hold every lock,
 * and other libraries' handlers may call malloc in between.
 *
 * Locks are held for short, and guard lists. System calls are made under those by which something
 * is done once, or by one thread at a time: a heap's, while it is prepared or configured; a
 * refpage's, while a stage is made, or a descriptor is mapped that had to stay open; the region's
 * and the runs' own start; dispositions; a part of the ledger, while it grows. Two are held at a
 * time where a heap is prepared (its own, then those of what it needs), and around fork, in the
 * order that fork.c has.
 *
 * Not async-signal-safe: a handler that takes a lock which its thread holds would wait for ever.
 * All functions keep errno. */
#ifndef PATALLOC_LOCK_H
#define PATALLOC_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether the C library knows of no other thread, as far as it tells. */
#if __has_include(<sys/single_threaded.h>) /* glibc 2.32 */
#include <sys/single_threaded.h>
#define SINGLE_THREADED __libc_single_threaded
#else
#define SINGLE_THREADED false
#endif

enum { LOCK_FREE, LOCK_HELD, LOCK_AWAITED };

struct lock {
  _Atomic uint32_t state;
};

/* Whether this thread holds every lock, as it is forking. */
extern _Thread_local bool lock_forking __attribute__((tls_model("initial-exec")));

/* Sleeps while the word has this value (it may return early); wakes one that sleeps on it. */
void lock_wait(_Atomic uint32_t *word, uint32_t value);
void lock_wake(_Atomic uint32_t *word);

/* Tells the processor that this is a loop which waits for another thread. */
static inline void lock_pause(void) {
#if defined __x86_64__
  __builtin_ia32_pause();
#elif defined __aarch64__
  __asm__ volatile("isb");
#endif
}

#ifdef PATALLOC_FAULTS
/* Test builds: called when a lock was dropped, so that what others may do then has time to happen.
 */
extern void (*lock_dropped)(void);
#endif

static inline bool lock_try(struct lock *lock) {
  uint32_t state = LOCK_FREE;
  return atomic_compare_exchange_strong_explicit(&lock->state, &state, LOCK_HELD,
                                                 memory_order_acquire, memory_order_relaxed);
}

/* To sleep and be woken costs more than what is done under a lock. */
static inline void lock_take(struct lock *lock) {
  enum { TRIES = 100 };
  if (lock_forking) return;
  for (int i = 0; i < TRIES; i++) {
    if (lock_try(lock)) return;
    lock_pause();
  }
  while (atomic_exchange_explicit(&lock->state, LOCK_AWAITED, memory_order_acquire) != LOCK_FREE)
    lock_wait(&lock->state, LOCK_AWAITED);
}

static inline void lock_drop(struct lock *lock) {
  if (lock_forking) return;
  if (atomic_exchange_explicit(&lock->state, LOCK_FREE, memory_order_release) == LOCK_AWAITED)
    lock_wake(&lock->state);
#ifdef PATALLOC_FAULTS
  if (lock_dropped) lock_dropped();
#endif
}

/* The same around so little that locking would take half of the time. Where there is one thread it
 * need not, as with the C library's malloc. After a fork it may have the only thread's lock to drop
 * all the same. */
static inline void lock_take_shared(struct lock *lock) {
  if (!SINGLE_THREADED) lock_take(lock);
}

static inline void lock_drop_shared(struct lock *lock) {
  if (lock->state != LOCK_FREE) lock_drop(lock);
}

#endif
