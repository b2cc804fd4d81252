/* Steps up the stack (see step.h). */
#include "watch/step.h"

#include "watch/cfi.h"
#include "watch/recover.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

/* What is known of the place of a call, packed into a word: of a cfi_rule all but the two high bits
 * of the offset; places on the stack are multiples of eight. A writer has the entry's place BUSY
 * meanwhile; a reader looks at it before and after. */

struct step {
  _Atomic uintptr_t pc;
  _Atomic uint64_t rule;
};

enum { STEPS_LOG = 14, BUSY = 1 };
enum {
  CFA_BITS = 2,
  LAST = 1 << CFA_BITS,
  OFFSET_SHIFT = 3,
  OFFSET_BITS = 29,
  FP_SHIFT = 32,
  RA_SHIFT = 48
};

static struct step steps[1 << STEPS_LOG];
static _Atomic uint32_t forgotten;

static bool is_narrow(int32_t offset) {
  return offset % 8 == 0 && offset / 8 == (int16_t)(offset / 8);
}

static uint64_t pack(const struct cfi_rule *rule) {
  const uint64_t hard = CFI_HARD;
  if (!is_narrow(rule->fp) || !is_narrow(rule->ra)) return hard;
  if (rule->offset >> (OFFSET_BITS - 1) != rule->offset >> 31) return hard;
  return (uint64_t)rule->cfa | (rule->last ? LAST : 0) |
         ((uint64_t)(uint32_t)rule->offset << OFFSET_SHIFT & UINT32_MAX) |
         (uint64_t)(uint16_t)(rule->fp / 8) << FP_SHIFT |
         (uint64_t)(uint16_t)(rule->ra / 8) << RA_SHIFT;
}

static _Atomic bool any; /* was kept */

/* What a writer has is left to it. */
static void clear(struct step *step) {
  uintptr_t pc = step->pc;
  if (pc && pc != BUSY) atomic_compare_exchange_strong(&step->pc, &pc, 0);
}

/* What was found before something was forgotten may be old. */
static void keep(struct step *step, uintptr_t pc, uint64_t rule, uint32_t since) {
  uintptr_t before = step->pc;
  if (before == BUSY || !atomic_compare_exchange_strong(&step->pc, &before, BUSY)) return;
  any = true;
  step->rule = rule;
  step->pc = pc;
  if (since != forgotten) clear(step);
}

/* Most processes take no stacks, and are not to have the table's pages. */
void step_forget(void) {
  forgotten++;
  for (int i = 0; any && i < 1 << STEPS_LOG; i++) clear(&steps[i]);
}

/* The kernel's return from a signal handler, of which the C library may have no information. */
static bool is_signal_return(uintptr_t pc) {
#ifdef __aarch64__
  static const uint32_t code[] = {0xd2801168, 0xd4000001}; /* mov x8, #139; svc #0 */
#else
  static const uint8_t code[] = {0x48, 0xc7, 0xc0, 15, 0,
                                 0,    0,    0x0f, 5}; /* mov $15, %rax; syscall */
#endif
  return !memcmp((const void *)pc, code, sizeof code);
}

/* In a program that the library is linked into, the compiler's unwinder may have been told of more.
 */
static uint64_t rule_of_unknown(uintptr_t place) {
  bool is_apart = recover_is_own((uintptr_t)rule_of_unknown);
  return is_apart && !is_signal_return(place + 1) ? CFI_BY_SP | LAST : CFI_HARD;
}

/* Code that nothing is known of is not kept, as something may be known of what is there next. */
static uint64_t find(struct step *step, uintptr_t place) {
  struct cfi_rule rule;
  uint32_t since = forgotten;
  if (!cfi_find(place, &rule)) return rule_of_unknown(place);
  uint64_t packed = pack(&rule);
  keep(step, place, packed, since);
  return packed;
}

static uint64_t rule_at(uintptr_t place) {
  struct step *step = &steps[place * 0x9e3779b97f4a7c15 >> (64 - STEPS_LOG)];
  if (step->pc == place) {
    uint64_t rule = step->rule;
    if (step->pc == place) return rule;
  }
  return find(step, place);
}

static const uintptr_t *word_at(uintptr_t address) {
  return (const uintptr_t *)address;
}

bool step_up(struct frame *frame, const uintptr_t **slot) {
  uint64_t rule = rule_at(frame->place);
  enum cfi_cfa how = rule & ((1 << CFA_BITS) - 1);
  int64_t offset = (int32_t)rule >> OFFSET_SHIFT;
  int64_t fp = (int16_t)(rule >> FP_SHIFT) * 8, ra = (int16_t)(rule >> RA_SHIFT) * 8;
  if (rule & LAST) return frame->place = 0, true;
  if (how == CFI_HARD) return false;
  uintptr_t cfa = (how == CFI_BY_SP ? frame->sp : frame->fp) + offset;
  uintptr_t saved = how == CFI_FROM_FP ? frame->fp + fp : cfa + fp;
  if (how == CFI_FROM_FP) cfa = *word_at(cfa);
  if (cfa <= frame->sp) return false;
  if (fp || how == CFI_FROM_FP) frame->fp = *word_at(saved);
  *slot = ra ? word_at(cfa + ra) : NULL;
  uintptr_t address = ra ? **slot : frame->link;
  if (!address) return frame->place = 0, ra;
  frame->place = step_before(address);
  frame->sp = cfa;
  frame->link = 0;
  return true;
}
