/* Alternate signal stacks (see alternate.h). */
#include "preload/alternate.h"

#include "os/guards.h"
#include "os/memory.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "patalloc.h"

#include <pthread.h>
#include <signal.h>

/* Behind its stack there is what a new thread is to do. Handlers of the program's that ask for such
 * a stack without having made one run on this one, too; little of it is ever resident. */
struct alternate {
  routine_function *routine;
  void *argument;
};
enum { STACK = 1 << 19, USABLE = STACK - sizeof(struct alternate) };

/* The first page of it can't be accessed. */
static char *make(void) {
  char *stack = os_map(STACK);
  if (!stack || os_protect((uintptr_t)stack, os_page, false)) return stack;
  os_unmap(stack, STACK);
  return NULL;
}

static _Atomic bool wanted;
static _Thread_local char *mine __attribute__((tls_model("initial-exec"))); /* NULL: none */

static bool is_mine(const stack_t *stack) {
  return mine && stack->ss_sp == mine + os_page;
}

static stack_t stack_in(char *made) {
  return (stack_t){.ss_sp = made + os_page, .ss_size = USABLE - os_page};
}

static void take(char *stack) {
  const stack_t ours = stack_in(stack);
  stack_t now;
  if (!os_may_call()) return;
  bool none = os_alternate_stack(NULL, &now) && now.ss_flags & SS_DISABLE;
  if (none && os_alternate_stack(&ours, NULL)) mine = stack;
  os_called();
}

/* In a sandbox it can't be given up, and stays. */
static void leave(void *stack) {
  const stack_t none = {.ss_flags = SS_DISABLE};
  stack_t now;
  if (!os_may_call()) return;
  if (mine && os_alternate_stack(NULL, &now) && is_mine(&now)) os_alternate_stack(&none, NULL);
  os_called();
  mine = NULL;
  os_unmap(stack, STACK);
}

/* Also where the thread ends by pthread_exit(3), or is cancelled. */
void *alternate_run(void *stack) {
  struct alternate start = *(struct alternate *)((char *)stack + USABLE);
  void *result;
  take(stack);
  pthread_cleanup_push(leave, stack);
  result = start.routine(start.argument);
  pthread_cleanup_pop(1);
  return result;
}

void *alternate_prepare(routine_function *routine, void *argument) {
  bool given = wanted && !os_is_sandboxed();
  char *stack = given ? make() : NULL;
  if (stack) *(struct alternate *)(stack + USABLE) = (struct alternate){routine, argument};
  return stack;
}

void alternate_drop(void *stack) {
  if (stack) os_unmap(stack, STACK);
}

RARE PATALLOC_API int sigaltstack(const stack_t *restrict stack, stack_t *restrict before) {
  const stack_t ours = stack_in(mine);
  stack_t old;
  bool gives_up = stack && stack->ss_flags & SS_DISABLE && mine;
  if (!os_alternate_stack(gives_up ? &ours : stack, &old)) return -1;
  if (before) *before = is_mine(&old) ? (stack_t){.ss_flags = SS_DISABLE} : old;
  return 0;
}

void alternate_start(void) {
  char *stack = make();
  wanted = true;
  if (stack) take(stack);
}
