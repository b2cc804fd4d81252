/* Deaths (see death.h). */
#include "watch/death.h"

#include "base/text.h"
#include "os/memory.h"
#include "os/process.h"
#include "pages/chunk.h"
#include "pages/compare.h"
#include "pages/region.h"
#include "watch/instruction.h"
#include "watch/surroundings.h"

#include <string.h>

/* How far from something an address is still taken for meant for it. */
enum { NEAR = 1 << 16 };

const char *const *death_message;

static struct death death; /* of the event that is being made */

static const char *name_of_signal(int signal) {
  static const char *const names[] = {
      [SIGSEGV] = "SIGSEGV", [SIGBUS] = "SIGBUS", [SIGILL] = "SIGILL",  [SIGFPE] = "SIGFPE",
      [SIGTRAP] = "SIGTRAP", [SIGSYS] = "SIGSYS", [SIGABRT] = "SIGABRT"};
  return names[signal];
}

/* What memory holds that was never written, or was freed since */

enum likeness { LIKE_NOTHING, LIKE_PATTERN, LIKE_COMPLEMENT };

static bool is_near(uint64_t value, uint64_t word) {
  return value - word < NEAR || word - value < NEAR;
}

/* The address of an array's element or a structure's member lies a bit further; of a pointer half
 * may have been written. */
static bool is_like(uint64_t value, uint64_t word) {
  enum { HALF = 32 };
  uint64_t upper = word >> HALF, lower = (uint32_t)word;
  return is_near(value, word) || (upper && value >> HALF == upper) ||
         (lower && (uint32_t)value == lower && value >> HALF != 0);
}

/* Patterns that are few bits say nothing. */
static bool is_telling(uint64_t word) {
  return word >> 16 && ~word >> 16;
}

/* A heap's pattern is numbered before its complement. */
static bool has_complement(uint8_t number) {
  for (uint8_t before = 1; before < number; before++)
    if (pattern_of(before).word == ~pattern_of(number).word) return true;
  return false;
}

static enum likeness likeness_of(uint64_t value) {
  struct pattern pattern;
  for (uint8_t number = 1; (pattern = pattern_of(number)).size; number++)
    if (is_telling(pattern.word) && is_like(value, pattern.word))
      return has_complement(number) ? LIKE_COMPLEMENT : LIKE_PATTERN;
  return LIKE_NOTHING;
}

/* Causes */

static void add_name(struct text *text, const struct mapping *mapping) {
  text_string(text, *mapping->name ? mapping->name : "memory that was mapped");
}

/* At an address that no block is near. */
static void tell_place(struct text *text, uintptr_t address) {
  enum { HEAP_NEAR = 1 << 20 };
  static struct surroundings around;
  if (!surroundings_find(&around, address)) return;
  const struct mapping *at = &around.at, *below = &around.below, *above = &around.above;
  if (at->end) {
    text_string(text, ", in ");
    add_name(text, at);
    text_string(text, " (");
    text_string(text, at->permissions);
    return text_string(text, ")");
  }
  bool heap = text_is("[heap]", below->name, text_length(below->name));
  if (below->end && address - below->end < (heap ? HEAP_NEAR : NEAR)) {
    uint64_t distance = address - below->end + 1;
    text_around(text, ", ", distance,
                distance == 1 ? " byte past the end of " : " bytes past the end of ");
    add_name(text, below);
    if (heap) text_string(text, ": a small block's overflow is likely; try --preset find");
    return;
  }
  if (above->end && above->start - address < NEAR) {
    text_around(text, ", ", above->start - address, " bytes before ");
    return add_name(text, above);
  }
  text_string(text, ", where nothing is mapped");
}

/* Below a stack that goes on from there up to where the thread is, or was to go. */
static bool is_stack_full(uintptr_t address, uintptr_t sp) {
  enum { FRAME_MOST = 1 << 20 };
  static struct surroundings around;
  if (address - sp >= FRAME_MOST && sp - address >= FRAME_MOST) return false;
  if (!surroundings_find(&around, address) || around.at.permissions[1] == 'w') return false;
  uintptr_t start = around.above.start, end = around.above.end;
  return end && start - address < FRAME_MOST && sp < end && around.above.permissions[1] == 'w';
}

/* The interrupted instruction, as far as it can be read; followed by zeros. */
static bool read_code(uintptr_t pc, uint8_t code[INSTRUCTION_MOST]) {
  uintptr_t end = page_down(pc) + os_page; /* of the next page nothing is known */
  size_t size = end - pc;
  memset(code, 0, INSTRUCTION_MOST);
  if (!os_is_readable(pc)) return false;
  if (size > INSTRUCTION_MOST || os_is_readable(end)) size = INSTRUCTION_MOST;
  memcpy(code, (const void *)pc, size);
  return true;
}

/* Leaves those in the list by which it accesses memory: in others the pattern may be for a good
 * reason. */
static unsigned keep_used(struct named_register *list, unsigned count, uintptr_t pc) {
  uint8_t code[INSTRUCTION_MOST];
  if (!read_code(pc, code)) return count;
  uint32_t used = instruction_registers(code);
  unsigned kept = 0;
  for (unsigned i = 0; i < count; i++)
    if (used >> list[i].number & 1) list[kept++] = list[i];
  return kept;
}

static void tell_registers_like(struct text *text, enum likeness meant,
                                const struct named_register *list, unsigned count) {
  const char *between = "";
  for (unsigned i = 0; i < count; i++) {
    if (likeness_of(list[i].value) != meant) continue;
    text_string(text, between);
    text_string(text, list[i].name);
    text_string(text, " holds ");
    text_hex(text, list[i].value, 1);
    between = ", ";
  }
}

static const char *const likenesses[] = {
    [LIKE_PATTERN] = "the pattern of memory that was never written",
    [LIKE_COMPLEMENT] = "what a block is filled with when it is freed"};

/* The pattern, as a rule, is not canonical: the processor does not tell the address then. */
static bool tell_likeness(struct event *event, struct text *text, const struct named_register *all,
                          unsigned count, uintptr_t pc) {
  struct named_register list[REGISTERS_MOST];
  enum likeness found = event->address ? likeness_of(event->address) : LIKE_NOTHING;
  memcpy(list, all, count * sizeof *list);
  if (!event->address) count = keep_used(list, count, pc);
  for (unsigned i = 0; i < count && !event->address && !found; i++)
    found = likeness_of(list[i].value);
  if (!found) return false;
  event->kind = found == LIKE_PATTERN ? EVENT_UNINITIALISED : EVENT_USE_AFTER_FREE;
  if (event->address)
    text_string(text, ", which is ");
  else
    text_string(text, " at an address that is none: "),
        tell_registers_like(text, found, list, count), text_string(text, ", ");
  text_string(text, likenesses[found]);
  return true;
}

static bool is_canonical(uintptr_t address) {
  enum { SIGNS = 16 };
  return (uintptr_t)((intptr_t)(address << SIGNS) >> SIGNS) == address;
}

/* Of a fault without an address: whether that is where the instruction was to go. */
static enum instruction_jump jump_of(const ucontext_t *context, uintptr_t *target) {
  uint8_t code[INSTRUCTION_MOST];
  uintptr_t sp = registers_sp(context);
  if (!read_code(registers_pc(context), code)) return JUMPS_NOT;
  enum instruction_jump jump = instruction_jump(code);
  if (jump != RETURNS) return jump;
  *target = os_is_readable(sp) ? *(const uintptr_t *)sp : 0;
  return is_canonical(*target) ? JUMPS_NOT : RETURNS;
}

/* The processor tells no address of one that is not canonical, nor where it is not aligned. */
static void tell_no_address(struct event *event, struct text *text, const ucontext_t *context) {
  uintptr_t target = 0;
  enum instruction_jump jump = jump_of(context, &target);
  if (jump == JUMPS_NOT)
    return text_string(text, " at an address that is none, or is not aligned as the instruction "
                             "wants it");
  event->kind = EVENT_WILD_JUMP;
  if (jump == JUMPS) return text_string(text, ": a call or jump to an address that is none");
  text_string(text, ": a return to ");
  text_hex(text, target, 1);
  text_string(text, ", which is no address: the stack was overwritten");
}

static const char *access_of(const siginfo_t *info, const ucontext_t *context) {
  uintptr_t target;
  bool jumps = info->si_code == SI_KERNEL && jump_of(context, &target) != JUMPS_NOT;
  return jumps ? "execute" : registers_access(context);
}

static void tell_fault(struct event *event, struct text *text, const siginfo_t *info,
                       const ucontext_t *context, bool asks, const struct named_register *list,
                       unsigned count) {
  bool known = info->si_code != SI_KERNEL;
  bool jumps = text_is("execute", event->access, text_length(event->access));
  uintptr_t address = event->address = known ? (uintptr_t)info->si_addr : 0;
  bool at_null = known && address < NEAR;
  event->kind = EVENT_WILD_ACCESS;
  if (known) {
    text_string(text, " at ");
    text_hex(text, address, 1);
  }
  if (!at_null && tell_likeness(event, text, list, count, registers_pc(context))) return;
  if (!known) return tell_no_address(event, text, context);
  if (at_null) {
    event->kind = EVENT_NULL;
    if (jumps) return text_string(text, ": a null function pointer was called");
    if (!address) return text_string(text, ", through a null pointer");
    return text_around(text, ", ", address,
                       address == 1 ? " byte from a null pointer" : " bytes from a null pointer");
  }
  if (jumps) {
    event->kind = EVENT_WILD_JUMP;
    text_string(text, ": no code is there");
  } else if (asks && is_stack_full(address, registers_sp(context))) {
    event->kind = EVENT_STACK_OVERFLOW;
    return text_string(text, ": the thread's stack is full");
  }
  if (asks) tell_place(text, address);
}

static void tell_abort(struct text *text) {
  static const char *const of_malloc[] = {
      "free(): ",    "malloc(): ",       "malloc_consolidate(): ",
      "double free", "realloc(): ",      "munmap_chunk(): ",
      "corrupted ",  "mremap_chunk(): ", "unaligned tcache",
      "invalid size"};
  const char *message = death_message ? *death_message : NULL;
  text_string(text, ", by abort");
  if (!message) return;
  message += sizeof(unsigned);
  size_t length = text_until(message, text_length(message), '\n');
  text_string(text, ": ");
  text_span(text, message, length);
  for (size_t i = 0; i < sizeof of_malloc / sizeof *of_malloc; i++)
    if (text_past(message, of_malloc[i]))
      return text_string(text,
                         " (the malloc underneath found that; --preset find names the block)");
}

static void tell_other(struct text *text, const siginfo_t *info, uintptr_t pc) {
  switch (info->si_signo) {
  case SIGFPE:
    text_string(text, info->si_code == FPE_INTDIV
                          ? ": an integer division by zero, or too large, at "
                          : ": an arithmetic error at ");
    return text_hex(text, pc, 1);
  case SIGILL:
    text_string(text, ": an instruction that is none, or a trap of the compiler's, at ");
    return text_hex(text, pc, 1);
  case SIGSYS:
    return text_around(text, ": system call ", (uint64_t)info->si_syscall, " is refused");
  case SIGBUS:
    return text_string(text, ": past the end of the file that is mapped there");
  default:
    text_string(text, ": a breakpoint");
    return;
  }
}

static bool is_told(uintptr_t block) {
  for (unsigned i = 0; i < death.count; i++)
    if (death.list[i].block == block) return true;
  return false;
}

/* Which registers point into, or next to, a heap's blocks. */
static void note_registers(const struct named_register *list, unsigned count) {
  enum { NEXT_TO = 1 << 12 };
  static struct event event;
  death.count = 0;
  for (unsigned i = 0; i < count && death.count < DEATH_REGISTERS; i++) {
    uintptr_t value = list[i].value;
    if (!region_holds((void *)value) && !chunk_holds(value)) continue;
    event_of_fault(&event, 0, NULL, value);
    if (event.place == PLACE_UNKNOWN || (event.place != PLACE_INSIDE && event.distance > NEXT_TO))
      continue;
    if (is_told(event.block)) event.history = (struct history){0};
    death.list[death.count++] = (struct death_register){.name = list[i].name,
                                                        .value = value,
                                                        .place = event.place,
                                                        .distance = event.distance,
                                                        .block = event.block,
                                                        .size = event.size,
                                                        .live = event.live,
                                                        .history = event.history};
  }
}

void event_of_death(struct event *event, const siginfo_t *info, const ucontext_t *context,
                    bool asks) {
  struct named_register list[REGISTERS_MOST];
  unsigned count = registers_get(context, list);
  struct text text = TEXT(death.cause);
  int signal = info->si_signo;
  bool faulted = info->si_code > 0 && (signal == SIGSEGV || signal == SIGBUS);
  event_of_fault(event, signal, NULL, 0);
  event->kind = EVENT_SIGNAL;
  *death.cause = 0;
  text_string(&text, name_of_signal(signal));
  if (faulted) {
    event->access = access_of(info, context);
    text_string(&text, ", ");
    text_string(&text, event->access);
    tell_fault(event, &text, info, context, asks, list, count);
    if (signal == SIGBUS && info->si_code == BUS_ADRERR) tell_other(&text, info, 0);
  } else if (signal == SIGABRT && info->si_code == SI_TKILL && info->si_pid == os_process_id()) {
    event->kind = EVENT_ABORT;
    tell_abort(&text);
  } else if (info->si_code <= 0) {
    bool own = info->si_pid == os_process_id();
    text_string(&text, own ? ", which the process sent itself" : ", sent by process ");
    if (!own) text_decimal(&text, (uint64_t)info->si_pid);
  } else {
    tell_other(&text, info, registers_pc(context));
  }
  if (event->kind != EVENT_ABORT) note_registers(list, count);
  event->death = &death;
}
