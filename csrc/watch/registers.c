/* Registers (see registers.h). */
#include "watch/registers.h"

#if defined __x86_64__

unsigned registers_get(const ucontext_t *context, struct named_register list[REGISTERS_MOST]) {
  static const struct {
    const char *name;
    unsigned number;
    int index;
  } all[] = {
      {"rax", 0, REG_RAX},  {"rbx", 3, REG_RBX},  {"rcx", 1, REG_RCX},  {"rdx", 2, REG_RDX},
      {"rsi", 6, REG_RSI},  {"rdi", 7, REG_RDI},  {"rbp", 5, REG_RBP},  {"rsp", 4, REG_RSP},
      {"r8", 8, REG_R8},    {"r9", 9, REG_R9},    {"r10", 10, REG_R10}, {"r11", 11, REG_R11},
      {"r12", 12, REG_R12}, {"r13", 13, REG_R13}, {"r14", 14, REG_R14}, {"r15", 15, REG_R15}};
  enum { COUNT = sizeof all / sizeof *all };
  for (int i = 0; i < COUNT; i++)
    list[i] = (struct named_register){all[i].name, all[i].number,
                                      (uintptr_t)context->uc_mcontext.gregs[all[i].index]};
  return COUNT;
}

uintptr_t registers_pc(const ucontext_t *context) {
  return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}

uintptr_t registers_sp(const ucontext_t *context) {
  return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
}

void registers_leave_call(ucontext_t *context) {
  greg_t *registers = context->uc_mcontext.gregs;
  registers[REG_RIP] = *(const greg_t *)registers[REG_RSP] - 1;
  registers[REG_RSP] += sizeof(greg_t);
}

void registers_leave_trap(ucontext_t *context) {
  context->uc_mcontext.gregs[REG_RIP]--;
}

/* The error code of a page fault (Intel SDM, volume 3, 4.7). */
const char *registers_access(const ucontext_t *context) {
  enum { PAGE_FAULT = 14, WRITE = 2, FETCH = 16 };
  long error = context->uc_mcontext.gregs[REG_ERR];
  if (context->uc_mcontext.gregs[REG_TRAPNO] != PAGE_FAULT) return "access";
  return error & FETCH ? "execute" : error & WRITE ? "write" : "read";
}

#elif defined __aarch64__

unsigned registers_get(const ucontext_t *context, struct named_register list[REGISTERS_MOST]) {
  static const char *const names[] = {"x0",  "x1",  "x2",  "x3",  "x4",  "x5",  "x6",  "x7",
                                      "x8",  "x9",  "x10", "x11", "x12", "x13", "x14", "x15",
                                      "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23",
                                      "x24", "x25", "x26", "x27", "x28", "x29", "x30"};
  enum { COUNT = sizeof names / sizeof *names };
  for (int i = 0; i < COUNT; i++)
    list[i] =
        (struct named_register){names[i], (unsigned)i, (uintptr_t)context->uc_mcontext.regs[i]};
  list[COUNT] = (struct named_register){"sp", COUNT, (uintptr_t)context->uc_mcontext.sp};
  return COUNT + 1;
}

uintptr_t registers_pc(const ucontext_t *context) {
  return (uintptr_t)context->uc_mcontext.pc;
}

uintptr_t registers_sp(const ucontext_t *context) {
  return (uintptr_t)context->uc_mcontext.sp;
}

void registers_leave_call(ucontext_t *context) {
  context->uc_mcontext.pc = context->uc_mcontext.regs[30] - 1;
}

void registers_leave_trap(ucontext_t *context) {
  (void)context; /* it is not */
}

/* The exception syndrome (Arm ARM, ESR_EL1: EC, ISS.WnR); the kernel gives it in a record of the
 * signal frame (asm/sigcontext.h). */
const char *registers_access(const ucontext_t *context) {
  enum { WRITE = 1 << 6, CLASS_SHIFT = 26, FETCH = 0x20 };
  const char *record = (const char *)context->uc_mcontext.__reserved;
  for (;;) {
    const uint32_t *head = (const uint32_t *)record;
    if (!head[0] || !head[1]) return "access";
    if (head[0] == ESR_MAGIC) {
      uint64_t syndrome = *(const uint64_t *)(record + 8);
      if ((syndrome >> CLASS_SHIFT & 0x3e) == FETCH) return "execute";
      return syndrome & WRITE ? "write" : "read";
    }
    record += head[1];
  }
}

#else

unsigned registers_get(const ucontext_t *context, struct named_register list[REGISTERS_MOST]) {
  (void)context, (void)list;
  return 0;
}

uintptr_t registers_pc(const ucontext_t *context) {
  (void)context;
  return 0;
}

uintptr_t registers_sp(const ucontext_t *context) {
  (void)context;
  return 0;
}

void registers_leave_call(ucontext_t *context) {
  (void)context;
}

void registers_leave_trap(ucontext_t *context) {
  (void)context;
}

const char *registers_access(const ucontext_t *context) {
  (void)context;
  return "access";
}

#endif
