/* Walks up the stack (see unwind.h). */
#include "watch/unwind.h"

#include "watch/recover.h"
#include "watch/step.h"

#include <stddef.h>
#include <unwind.h>

struct walk {
  struct stack *stack;
  unsigned most;
  uintptr_t pc; /* not seen yet; 0: none is looked for */
  struct frame frame;
  const uintptr_t **slots;
  bool clear; /* so far */
};

/* The place in a frame, and where the step to it has read that. */
static void walk_up(void *context) {
  struct walk *walk = context;
  struct stack *stack = walk->stack;
  const uintptr_t *slot = NULL;
  while (walk->clear && walk->frame.place && stack->count < walk->most) {
    if (stack->count || !recover_is_own(walk->frame.place)) {
      walk->slots[stack->count] = slot;
      stack->frames[stack->count++] = walk->frame.place;
    }
    walk->clear = step_up(&walk->frame, &slot);
  }
}

/* The compiler's unwinder */

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *walked) {
  struct walk *walk = walked;
  struct stack *stack = walk->stack;
  int is_exact = 0;
  uintptr_t pc = _Unwind_GetIPInfo(context, &is_exact), call = is_exact ? pc : pc - 1;
  if (!pc) return _URC_END_OF_STACK;
  if (walk->pc && pc != walk->pc) return _URC_NO_REASON;
  walk->pc = 0;
  if (!stack->count && recover_is_own(call)) return _URC_NO_REASON;
  stack->frames[stack->count++] = call;
  return stack->count < walk->most ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void walk_slowly(void *walk) {
  _Unwind_Backtrace(note_frame, walk);
}

/* The unwinder may allocate, and so come here again. */
static void walk_by_unwinder(struct walk *walk) {
  static _Thread_local bool taking __attribute__((tls_model("initial-exec")));
  walk->stack->count = 0;
  if (taking) return;
  taking = true;
  recover_try(walk_slowly, walk);
  taking = false;
}

static unsigned limit(unsigned most) {
  return most < STACK_MOST ? most : STACK_MOST;
}

__attribute__((noinline)) bool unwind(struct stack *stack, unsigned most,
                                      const uintptr_t *slots[STACK_MOST]) {
  const uintptr_t *unwanted[STACK_MOST];
  struct walk walk = {.stack = stack,
                      .most = limit(most),
                      .frame = step_here(),
                      .slots = slots ? slots : unwanted,
                      .clear = true};
  stack->count = 0;
  bool whole = recover_try(walk_up, &walk);
  if (!walk.clear) walk_by_unwinder(&walk);
  return whole && walk.clear;
}

void unwind_from(struct stack *stack, unsigned most, uintptr_t pc) {
  struct walk walk = {.stack = stack, .most = limit(most), .pc = pc};
  stack->count = 0;
  if (most) walk_by_unwinder(&walk);
}
