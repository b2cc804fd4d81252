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

/* Inside a call: up to the frame that ends above the place. */

struct inside {
  struct stack *stack;
  unsigned most;
  uintptr_t place;
  struct frame frame;
};

static void walk_inside(void *context) {
  struct inside *inside = context;
  struct stack *stack = inside->stack;
  const uintptr_t *slot;
  while (stack->count < inside->most && inside->frame.place) {
    uintptr_t place = inside->frame.place;
    if (!step_up(&inside->frame, &slot) || inside->frame.sp > inside->place) return;
    if (stack->count || !recover_is_own(place)) stack->frames[stack->count++] = place;
  }
}

__attribute__((noinline)) void unwind_inside(struct stack *stack, unsigned most, uintptr_t place) {
  struct inside inside = {stack, limit(most), place, step_here()};
  stack->count = 0;
  recover_try(walk_inside, &inside);
}

/* Near the last walk */

struct near {
  struct walked *last;
  struct walked top; /* of this one, the innermost call first */
  struct frame frame;
  unsigned at; /* of the last one: those from here on lie further in */
  bool clear, met;
};

/* Whether all that was behind that call is there still. */
static bool leads_on(const struct walked *last, unsigned from) {
  for (unsigned i = from; i--;)
    if (!last->frames[i].slot || step_before(*last->frames[i].slot) != last->frames[i].place)
      return false;
  return true;
}

static bool meets(struct near *near) {
  const struct walked *last = near->last;
  while (near->at && last->frames[near->at - 1].sp < near->frame.sp) near->at--;
  if (!near->at || last->frames[near->at - 1].sp != near->frame.sp) return false;
  return last->frames[near->at - 1].place == near->frame.place &&
         last->frames[near->at - 1].fp == near->frame.fp && leads_on(last, near->at - 1);
}

static void walk_near(void *context) {
  struct near *near = context;
  struct walked *top = &near->top;
  const uintptr_t *slot = NULL;
  while (near->clear && near->frame.place) {
    if (top->count || !recover_is_own(near->frame.place)) {
      near->met = !near->frame.link && meets(near);
      if (near->met) return;
      near->clear = top->count < WALK_MOST;
      if (!near->clear) return;
      top->frames[top->count].place = near->frame.place;
      top->frames[top->count].sp = near->frame.sp;
      top->frames[top->count].fp = near->frame.fp;
      top->frames[top->count++].slot = slot;
    }
    near->clear = step_up(&near->frame, &slot);
  }
}

static uint64_t mix(uint64_t hash, uintptr_t place) {
  hash = (hash ^ place) * 0x9e3779b97f4a7c15;
  return hash ^ hash >> 32;
}

/* Puts them on what they have met. */
static bool remember(struct near *near) {
  struct walked *last = near->last;
  unsigned kept = near->met ? near->at : 0;
  last->count = 0;
  if (!near->clear || kept + near->top.count > WALK_MOST) return false;
  uint64_t hash = kept ? last->frames[kept - 1].hash : 1;
  for (unsigned i = near->top.count; i--; kept++) {
    last->frames[kept] = near->top.frames[i];
    last->frames[kept].hash = hash = mix(hash, last->frames[kept].place);
  }
  last->count = kept;
  return kept;
}

__attribute__((noinline)) uint64_t unwind_near(struct walked *last) {
  struct near near;
  near.last = last;
  near.top.count = 0;
  near.frame = step_here();
  near.at = last->count;
  near.clear = true;
  near.met = false;
  bool whole = recover_try(walk_near, &near);
  if (whole && remember(&near)) return last->frames[last->count - 1].hash | 1;
  last->count = 0;
  return 0;
}

void unwind_remembered(struct stack *stack, unsigned most, const struct walked *last) {
  stack->count = last->count < limit(most) ? last->count : limit(most);
  for (unsigned i = 0; i < stack->count; i++)
    stack->frames[i] = last->frames[last->count - 1 - i].place;
}

unsigned unwind_from(struct stack *stack, unsigned most, uintptr_t pc) {
  struct walk walk = {.stack = stack, .most = limit(most), .pc = pc, .whole = true};
  walk_by_unwinder(&walk);
  if (walk.further) put_in_order(&walk);
  return walk.further;
}
