/* This process and its threads (os.h says what holds for all functions). */
#ifndef PATALLOC_PROCESS_H
#define PATALLOC_PROCESS_H

#include "os/os.h"

#include <signal.h>

int os_process_id(void);
RARE int os_parent_id(void);
RARE uint32_t os_thread_id(void);

/* The same without a call where this thread has asked before, until os_forget_thread: for the child
 * of a fork that the C library makes; of another's it is the parent's. */
RARE uint32_t os_thread_id_known(void);
RARE void os_forget_thread(void);

enum { OS_NAME = 16 };
RARE void os_thread_name(char name[OS_NAME]); /* of this thread; empty where that can't be told */
RARE bool os_alternate_stack(const stack_t *stack, stack_t *before); /* sigaltstack(2) */
void os_yield(void);

/* Sleeps while a word that processes share has this value, at most so long (it may return early);
 * wakes all that do. */
RARE void os_wait_shared(_Atomic uint32_t *word, uint32_t value, unsigned milliseconds);
RARE void os_wake_shared(_Atomic uint32_t *word);

RARE uint64_t os_nanoseconds(void); /* a monotonic clock */
uint32_t os_milliseconds(void);     /* a monotonic clock that wraps */
uint64_t os_random(void);           /* for places that are not to be guessed */
bool os_secure(void);               /* AT_SECURE: the environment is not to be trusted */
bool os_is_under_valgrind(void);    /* which knows no kernel newer than itself */

#endif
