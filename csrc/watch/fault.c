/* Faults (see fault.h). The handler runs on the program's stack, which may be a small alternate
 * one, and needs little of it: a report is made on a stack of its own. It reads records without
 * locks. */
#undef _FORTIFY_SOURCE /* whose longjmp(3) refuses to leave a stack of our own */
#include "watch/fault.h"

#include "base/text.h"
#include "os/mte.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "pages/chunk.h"
#include "watch/death.h"
#include "watch/disposition.h"
#include "watch/event.h"
#include "watch/recover.h"
#include "watch/report.h"
#include "watch/resume.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>

/* Newer than the oldest C library that this builds with (sigaction(2)). */
#ifndef SEGV_MTEAERR
#define SEGV_MTEAERR 8 /* Linux 5.10 */
#define SEGV_MTESERR 9
#endif

static _Atomic bool tagged; /* whether some heap has tags, which are checked */
static _Atomic bool deaths; /* whether all are told */
static _Thread_local bool told __attribute__((tls_model("initial-exec"))); /* of this thread's */

/* The fault that this thread's program handles just now; what it points to is there as long as its
 * place is on the stack. */
struct fault;
static _Thread_local struct {
  const struct fault *fault; /* NULL: none is */
  uintptr_t pc;
  int signal;
  siginfo_t last; /* of the last one that was; at `last_pc` */
  uintptr_t last_pc;
} handled __attribute__((tls_model("initial-exec")));

/* Process and thread that die of what is reported; 0: none does. */
static _Atomic uint64_t dying;

/* Passing on */

/* What the processor has found, when the instruction is tried again. All else was sent: also what a
 * terminal sends is of the kernel (SI_KERNEL). */
static bool happens_again(const siginfo_t *info) {
  int signal = info->si_signo, code = info->si_code;
  bool found = signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE;
  bool late =
      (signal == SIGSEGV && code == SEGV_MTEAERR) || (signal == SIGBUS && code == BUS_MCEERR_AO);
  return found && code > 0 && !late;
}

static void end_by(int signal, const siginfo_t *info) {
  disposition_end(signal);
  if (!happens_again(info)) raise(signal);
}

/* What a handler of the program's has blocked is blocked here already, as ours was installed so. */
static void pass_on(int signal, siginfo_t *info, void *context) {
  struct sigaction program = disposition_of(signal);
  if (!disposition_is_handler(&program)) return end_by(signal, info);
  if (program.sa_flags & SA_RESETHAND) disposition_action(signal, &(struct sigaction){0}, NULL);
  if (program.sa_flags & SA_SIGINFO) return program.sa_sigaction(signal, info, context);
  program.sa_handler(signal);
}

/* A stack of our own. The unwinder is to find its way from there to where the fault was, and so
 * what it goes by is copied to the new stack's start: the frame that the kernel has made for the
 * signal, and the address that the handler returns to, by which that is known as one. */

struct fault {
  int signal;
  siginfo_t *info;
  ucontext_t *context;
  const char *access; /* NULL: the process was asked to end */
  uintptr_t pc;       /* where the call stack is to start */
  void (*function)(struct fault *);
  sigjmp_buf back;
};

enum { REPORT_STACK = 1 << 16 };
static char report_stack[REPORT_STACK] __attribute__((aligned(64)));
#define REPORT_STACK_END ((uintptr_t)report_stack + REPORT_STACK)

__attribute__((noreturn)) static void run_there(struct fault *fault) {
  fault->function(fault);
  siglongjmp(fault->back, 1);
}

static void prepare_copy(struct fault *fault, ucontext_t *copy) {
  if (fault->access && text_is("execute", fault->access, text_length(fault->access)))
    registers_leave_call(copy);
  if (fault->signal == SIGTRAP && fault->info->si_code > 0) registers_leave_trap(copy);
  fault->pc = registers_pc(copy);
}

#if defined __x86_64__

/* struct rt_sigframe: the return address, the context, the rest (arch/x86/include/asm/sigframe.h).
 * At a function's start the stack pointer lies 8 below a multiple of 16. */
static bool switch_stack(struct fault *fault, uintptr_t trampoline) {
  const uintptr_t *frame = (const uintptr_t *)fault->context - 1;
  enum { RETURN = sizeof *frame, SIZE = RETURN + offsetof(ucontext_t, uc_sigmask) + 8 };
  if (*frame != trampoline) return false;
  uintptr_t top = ((REPORT_STACK_END - SIZE) & ~(uintptr_t)15) - RETURN;
  memcpy((void *)top, frame, SIZE);
  prepare_copy(fault, (ucontext_t *)(top + RETURN));
  __asm__ volatile("movq %0, %%rsp\n\t"
                   "jmpq *%1"
                   :
                   : "r"(top), "r"(run_there), "D"(fault)
                   : "memory");
  __builtin_unreachable();
}

#elif defined __aarch64__

/* struct rt_sigframe: the siginfo, the context (arch/arm64/kernel/signal.c). */
static bool switch_stack(struct fault *fault, uintptr_t trampoline) {
  enum { SIZE = sizeof(siginfo_t) + sizeof(ucontext_t) };
  if ((uintptr_t)fault->context != (uintptr_t)(fault->info + 1)) return false;
  uintptr_t top = (REPORT_STACK_END - SIZE) & ~(uintptr_t)15;
  memcpy((void *)top, fault->info, SIZE);
  prepare_copy(fault, (ucontext_t *)(top + sizeof(siginfo_t)));
  register struct fault *argument __asm__("x0") = fault;
  register uintptr_t stack __asm__("x1") = top;
  register void (*function)(struct fault *) __asm__("x2") = run_there;
  register uintptr_t return_to __asm__("x30") = trampoline;
  __asm__ volatile("mov sp, x1\n\t"
                   "mov x29, xzr\n\t"
                   "br x2"
                   :
                   : "r"(argument), "r"(stack), "r"(function), "r"(return_to)
                   : "memory");
  __builtin_unreachable();
}

#else

static bool switch_stack(struct fault *fault, uintptr_t trampoline) {
  (void)fault, (void)trampoline;
  return false;
}

#endif

static void call_there(struct fault *fault, uintptr_t trampoline) {
  if (sigsetjmp(fault->back, 0)) return;
  if (!switch_stack(fault, trampoline)) fault->function(fault);
}

/* Reporting */

static bool is_late(const siginfo_t *info) {
  return info->si_signo == SIGSEGV && info->si_code == SEGV_MTEAERR;
}

static bool is_of_tags(const siginfo_t *info) {
  return is_late(info) || (info->si_signo == SIGSEGV && info->si_code == SEGV_MTESERR);
}

static bool is_fault(const siginfo_t *info) {
  return info->si_code > 0 && (info->si_signo == SIGSEGV || info->si_signo == SIGBUS);
}

static bool is_of_a_heap(const siginfo_t *info) {
  if (is_late(info)) return true;
  bool has_address = is_fault(info) && info->si_code != SI_KERNEL;
  bool ours = region_holds(info->si_addr) || chunk_holds((uintptr_t)info->si_addr);
  return has_address && ours && (is_of_tags(info) || report_is_wanted());
}

/* The process dies of it, and not by what was reported already. */
static bool is_death(const siginfo_t *info) {
  if (!deaths || !disposition_is_error(info->si_signo) || report_said_last()) return false;
  struct sigaction program = disposition_of(info->si_signo);
  return !disposition_is_handler(&program) && !(told && info->si_code <= 0);
}

static void set_event(struct event *event, const struct fault *fault) {
  const siginfo_t *info = fault->info;
  uintptr_t address = is_late(info) ? 0 : (uintptr_t)info->si_addr;
  if (!is_of_a_heap(info)) return event_of_death(event, info, fault->context, report_may_ask());
  event_of_fault(event, fault->signal, fault->access, address);
  if (is_of_tags(info)) event_set_tags(event);
}

static void look_further(void *signalled) {
  const struct fault *fault = signalled;
  report_look *look = atomic_exchange(&report_last_look, NULL);
  if (look) look(fault->access ? "report" : "exit", report_fault);
}

/* A handler of the program's that has told of a fault in its own way, as Python's faulthandler,
 * ends with the same signal, sent to itself: the fault is what the process dies of. */
static bool is_sent_again(const struct fault *fault) {
  const siginfo_t *info = fault->info;
  return handled.fault && info->si_code <= 0 && info->si_pid == os_process_id() &&
         info->si_signo == handled.signal;
}

/* A handler that has set the default and sent the signal again may have returned before it comes,
 * as it was blocked: the thread is where it faulted. */
static bool comes_after(const struct fault *fault) {
  const siginfo_t *info = fault->info;
  return handled.last_pc && info->si_code <= 0 && info->si_pid == os_process_id() &&
         info->si_signo == handled.last.si_signo && fault->pc == handled.last_pc;
}

/* The program goes on behind it. */
static bool can_resume(const siginfo_t *info) {
  bool ours = is_fault(info) && is_of_a_heap(info) && !is_of_tags(info);
  return ours && resume_is_due((uintptr_t)info->si_addr);
}

static void report_it(void *faulted) {
  enum { MOST = STACK_MOST / 2 };
  const struct fault *fault = faulted;
  struct fault before = *fault;
  before.info = &handled.last;
  static struct event event; /* only one thread is here at a time */
  unsigned left_out = 0;
  event.stack.count = 0;
  if (is_sent_again(fault)) left_out = unwind_from(&event.stack, MOST, handled.pc);
  if (event.stack.count)
    fault = handled.fault; /* still on the stack, and not left by siglongjmp(3) */
  else
    left_out = unwind_from(&event.stack, MOST, fault->pc);
  if (comes_after(faulted)) fault = &before;
  set_event(&event, fault);
  event.left_out = left_out;
  report_fault(&event);
  if (!can_resume(fault->info)) look_further(faulted);
}

/* Nothing interrupts a report but a fault of our own, and what is to end the process. Such a fault
 * is to be handled on the stack that this runs on, not on the alternate one, where the program's
 * frames may be and the kernel does not see that any more: so that is left meanwhile. (It stays as
 * it is where this could not leave it.) */
static void report_with_care(struct fault *fault) {
  void (*function)(void *) = fault->access ? report_it : look_further;
  const stack_t none = {.ss_flags = SS_DISABLE};
  stack_t alternate;
  static const int ending[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGALRM, SIGABRT};
  sigset_t faults, others, mask;
  sigemptyset(&faults);
  sigfillset(&others);
  for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) sigdelset(&others, ending[i]);
  for (int i = 0; i < DISPOSITION_FAULTS; i++) sigaddset(&faults, disposition_signals[i]);
  pthread_sigmask(SIG_BLOCK, &others, &mask);
  bool may = os_may_call(), left = may && os_alternate_stack(&none, &alternate);
  pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
  if (!recover_try(function, fault)) report_line("a fault in the heap could not be reported");
  if (left && !(alternate.ss_flags & SS_DISABLE)) os_alternate_stack(&alternate, NULL);
  if (may) os_called();
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void report_at(struct fault *fault, uintptr_t trampoline) {
  bool unchecked = tagged && mte_ignore(true);
  struct event event;
  if (fault->access ? report_begin() : report_begin_now()) {
    call_there(fault, trampoline);
    report_end();
  } else if (fault->access) { /* on top of a report of this thread's */
    event_of_fault(&event, fault->signal, fault->access, (uintptr_t)fault->info->si_addr);
    report_in_a_line(&event);
  }
  if (tagged) mte_ignore(unchecked);
}

static uint64_t this_thread(void) {
  return (uint64_t)os_process_id() << 32 | os_thread_id();
}

static void on_signal(int signal, siginfo_t *info, void *context) {
  int error = errno;
  struct fault fault = {.signal = signal, .info = info, .context = context};
  fault.function = report_with_care;
  fault.pc = registers_pc(context);
  if (is_fault(info)) recover_from(fault.pc);
  bool of_a_heap = is_of_a_heap(info), dies = !of_a_heap && is_death(info);
  struct sigaction program = disposition_of(signal);
  if (of_a_heap || dies) fault.access = is_late(info) ? "access" : registers_access(context);
  bool resumes = can_resume(info);
  if (!resumes && ((of_a_heap && !disposition_is_handler(&program)) || dies)) dying = this_thread();
  if (of_a_heap || dies || !disposition_is_error(signal))
    report_at(&fault, (uintptr_t)__builtin_return_address(0));
  if (resumes && resume_at((uintptr_t)info->si_addr)) {
    errno = error;
    return;
  }
  if (resumes && !disposition_is_handler(&program)) dying = this_thread();
  if (of_a_heap) told = true;
  errno = error;
  const struct fault *outer = handled.fault;
  uintptr_t outer_pc = handled.pc;
  int outer_signal = handled.signal;
  if (is_fault(info)) {
    handled.fault = &fault;
    handled.pc = handled.last_pc = fault.pc;
    handled.signal = signal;
    handled.last = *info;
  }
  pass_on(signal, info, context);
  handled.fault = outer;
  handled.pc = outer_pc;
  handled.signal = outer_signal;
}

/* For a while: the instruction that is tried again may succeed by then. No system call where nobody
 * dies: the program may be confined to few. */
void fault_let_die(void) {
  enum { WHILE = 2000 }; /* milliseconds */
  uint64_t found = dying, me = found ? this_thread() : 0;
  if (!found || found == me || found >> 32 != me >> 32) return;
  for (uint32_t begun = os_milliseconds(); os_milliseconds() - begun < WHILE;) os_yield();
}

void fault_watch(bool tags) {
  if (tags) tagged = true;
  recover_is_own(0); /* what it asks once is on the stack, which may be overwritten later */
  disposition_install(on_signal, deaths ? DISPOSITIONS : DISPOSITION_FAULTS, tags);
}

/* The first process of a namespace dies of no signal that is sent, as long as it has no handler for
 * it (pid_namespaces(7)). */
void fault_watch_deaths(void) {
  deaths = os_process_id() != 1;
  fault_watch(false);
}
