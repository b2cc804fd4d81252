/* Walks up the stack, by steps of our own (step.h) or, where those can't go, by the compiler's
 * unwinder. A stack that can't be followed ends early. Async-signal-safe where the C library has
 * _dl_find_object (glibc 2.35); before that it may wait for another thread's dlopen(3). */
#ifndef PATALLOC_UNWIND_H
#define PATALLOC_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

enum { STACK_MOST = 64 };

struct stack {
  unsigned count;
  uintptr_t frames[STACK_MOST]; /* the innermost first: addresses inside the call instructions */
};

/* The calls that led here, at most `most`, without those inside this library. True where all went
 * by steps: then slots, if it isn't NULL, has where the return address of each lies, NULL for
 * nowhere.
 */
bool unwind(struct stack *stack, unsigned most, const uintptr_t *slots[STACK_MOST]);

/* A thread's last walk, the outermost call first: the next one goes by steps only to where that
 * was. */
enum { WALK_MOST = 120 };
struct walked {
  unsigned count;
  struct {
    uintptr_t place, sp, fp;
    const uintptr_t *slot; /* where the return address lies that led there */
    uint64_t hash;         /* of it and those before it here */
  } frames[WALK_MOST];
};

/* Walks up, as unwind does, and has it remembered; returns a hash of all calls. 0 where that is not
 * clear, or they are too many: nothing is remembered then. */
uint64_t unwind_near(struct walked *last);

/* The innermost of these. */
void unwind_remembered(struct stack *stack, unsigned most, const struct walked *last);

/* At most so many calls that led here from the function in whose frame that place on the stack
 * lies, without it. */
void unwind_inside(struct stack *stack, unsigned most, uintptr_t place);

/* Those that led to an interrupted instruction of this thread. Of more than `most` calls the last
 * ones of these are the outermost, STACK_LAST of them; returns how many are left out before them.
 */
enum { STACK_LAST = 8 };
unsigned unwind_from(struct stack *stack, unsigned most, uintptr_t pc);

#endif
