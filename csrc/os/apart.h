/* Files of our own, which the program must not see (os.h says what holds for all functions): a
 * descriptor takes the lowest number that is free, where another thread may be about to put a file
 * of its own by dup2(2), or a fork hand it on. */
#ifndef PATALLOC_APART_H
#define PATALLOC_APART_H

#include "os/os.h"

/* Whether the process has one thread, as far as its C library knows (glibc 2.32). */
bool os_is_alone(void);

/* Calls `function`, which may open files and is to close them. Where there are other threads it is
 * called in a process of its own that shares this one's memory, and has no descriptor of it; what
 * it maps stays mapped, and errno is as it leaves it. Signals wait meanwhile. Where there can be no
 * such process (before Linux 5.9, or past RLIMIT_NPROC) it is called here. Some 35 µs. */
void os_apart(void (*function)(void *context), void *context);

#endif
