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
  bool clear;       /* so far */
  bool whole;       /* whether it goes on to the outermost call */
  unsigned further; /* calls that there was no place for */
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

static uintptr_t *last_frames(const struct walk *walk) {
  return &walk->stack->frames[walk->most - STACK_LAST];
}

/* The last ones, in turn: a stack that is full may have a million calls. */
static _Unwind_Reason_Code note_further(struct walk *walk, uintptr_t call) {
  enum { MOST = 1 << 20 };
  last_frames(walk)[walk->further++ % STACK_LAST] = call;
  return walk->further < MOST ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void put_in_order(const struct walk *walk) {
  uintptr_t *frames = last_frames(walk), turned[STACK_LAST];
  for (unsigned i = 0; i < STACK_LAST; i++) turned[i] = frames[(walk->further + i) % STACK_LAST];
  for (unsigned i = 0; i < STACK_LAST; i++) frames[i] = turned[i];
}

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *walked) {
  struct walk *walk = walked;
  struct stack *stack = walk->stack;
  int is_exact = 0;
  uintptr_t pc = _Unwind_GetIPInfo(context, &is_exact), call = is_exact ? pc : pc - 1;
  if (!pc) return _URC_END_OF_STACK;
  if (walk->pc && pc != walk->pc) return _URC_NO_REASON;
  walk->pc = 0;
  if (!stack->count && recover_is_own(call)) return _URC_NO_REASON;
  if (stack->count == walk->most) return note_further(walk, call);
  stack->frames[stack->count++] = call;
  return stack->count < walk->most || walk->whole ? _URC_NO_REASON : _URC_END_OF_STACK;
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

unsigned unwind_from(struct stack *stack, unsigned most, uintptr_t pc) {
  struct walk walk = {.stack = stack, .most = limit(most), .pc = pc, .whole = true};
  walk_by_unwinder(&walk);
  if (walk.further) put_in_order(&walk);
  return walk.further;
}
