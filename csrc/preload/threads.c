/* What makes threads, in front of the C library's: fork(2) has to be prepared for them, and where
 * deaths are told they get alternate signal stacks. */
#include "patalloc.h"
#include "preload/alternate.h"
#include "preload/interpose.h"
#include "preload/next.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <threads.h>

#define EXPORT PATALLOC_API

RARE EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                               void *(*routine)(void *), void *argument) {
  int (*next)(pthread_t *, const pthread_attr_t *, routine_function *, void *);
  *(void **)&next = next_symbol("pthread_create");
  if (!next) return EAGAIN;
  interposed_expect_thread();
  void *stack = alternate_prepare(routine, argument);
  int error = next(thread, attributes, stack ? alternate_run : routine, stack ? stack : argument);
  if (error) alternate_drop(stack);
  return error;
}

/* Their functions return an int, which is where a pointer's lower half is. */
static int run_of_c11(void *stack) {
  return (int)(intptr_t)alternate_run(stack);
}

RARE EXPORT int thrd_create(thrd_t *thread, thrd_start_t routine, void *argument) {
  int (*next)(thrd_t *, thrd_start_t, void *);
  *(void **)&next = next_symbol("thrd_create");
  if (!next) return thrd_error;
  routine_function *same;
  memcpy(&same, &routine, sizeof same);
  interposed_expect_thread();
  void *stack = alternate_prepare(same, argument);
  int result = next(thread, stack ? run_of_c11 : routine, stack ? stack : argument);
  if (result != thrd_success) alternate_drop(stack);
  return result;
}
