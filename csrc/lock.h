/* A mutex that lets the thread which forks through: fork's handlers hold every lock, and other
 * libraries' handlers may call malloc in between. Locks are held for short, without system calls
 * in between, and never two at a time but around fork. */
#ifndef PATALLOC_LOCK_H
#define PATALLOC_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct lock {
  pthread_mutex_t mutex;
};
#define LOCK_INITIAL                                                                               \
  { PTHREAD_MUTEX_INITIALIZER }

/* The thread that holds every lock while it forks; 0 for none (glibc's pthread_t is a pointer). */
extern _Atomic pthread_t lock_fork_owner;

static inline bool lock_is_held_by_fork(void) {
  pthread_t owner = atomic_load_explicit(&lock_fork_owner, memory_order_relaxed);
  return owner && pthread_equal(owner, pthread_self());
}

static inline void lock_init(struct lock *lock) {
  pthread_mutex_init(&lock->mutex, NULL);
}

static inline void lock_take(struct lock *lock) {
  if (!lock_is_held_by_fork()) pthread_mutex_lock(&lock->mutex);
}

static inline void lock_drop(struct lock *lock) {
  if (!lock_is_held_by_fork()) pthread_mutex_unlock(&lock->mutex);
}

#endif
