/* A thread that makes missing pages (see uffd.h). */
#include "pages/uffd.h"

#include "os/memory.h"
#include "os/process.h"
#include "os/uffd.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* The program may have closed the descriptor, and another file may have its number now. */
static bool is_gone(const struct uffd *uffd) {
  return !os_is(uffd->descriptor, &uffd->identity) && errno == EBADF;
}

/* Counted before the answer, so that what a program has done is. */
static void serve_one(struct uffd *uffd, struct uffd_fault fault) {
  if (fault.access == UFFD_ACCESSES) return;
  atomic_fetch_add_explicit(&uffd->pages[fault.access], 1, memory_order_relaxed);
  os_uffd_answer(uffd->descriptor, fault, uffd->page, uffd->follows);
}

/* Not a moment less than the descriptor is there: who faults would wait for ever. */
static void *serve(void *argument) {
  struct uffd *uffd = argument;
  struct uffd_fault fault;
  while (!is_gone(uffd) && os_uffd_wait(uffd->descriptor, &fault)) serve_one(uffd, fault);
  return NULL;
}

/* Without signals, whose handlers might touch what only this thread can make. */
static bool start_thread(struct uffd *uffd) {
  enum { STACK = 1 << 16 };
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, before;
  if (pthread_attr_init(&attributes)) return false;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, STACK);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, &attributes, serve, uffd);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  errno = error;
  return error == 0;
}

bool uffd_start(struct uffd *uffd, const void *page, bool follow) {
  int descriptor = os_uffd_open();
  if (descriptor < 0) return false;
  uffd->descriptor = os_hide_descriptor(descriptor);
  uffd->process = os_process_id();
  uffd->page = page;
  uffd->follows = follow;
  if (os_identify(uffd->descriptor, &uffd->identity, NULL) && start_thread(uffd)) return true;
  uffd->page = NULL;
  os_close(uffd->descriptor);
  return false;
}

/* The descriptor that a child inherits would watch its parent's memory. */
bool uffd_map(const struct uffd *uffd, uintptr_t address, size_t size) {
  if (uffd->process != os_process_id() || is_gone(uffd)) return errno = ENOTSUP, false;
  if (!os_map_zero(address, size, false)) return false;
  return (uffd->follows && os_uffd_watch(uffd->descriptor, address, size, true)) ||
         os_uffd_watch(uffd->descriptor, address, size, false);
}
