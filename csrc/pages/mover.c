/* Pages that move (see mover.h). */
#include "pages/mover.h"

#include "os/features.h"
#include "os/files.h"
#include "os/memory.h"
#include "os/sandbox.h"
#include "os/uffd.h"

#include <errno.h>
#include <stdatomic.h>

static int descriptor;
static struct os_identity identity;
static _Atomic bool lost;

/* What a forked child reads as zeros, whoever has forked (madvise(2), MADV_WIPEONFORK): whether the
 * descriptor is this process's. */
static struct own {
  _Atomic bool open;
  char zeros[]; /* a page of them, behind this one */
} * _Atomic own;

static bool open_mover(void) {
  int opened = os_uffd_open_mover();
  if (opened < 0) return false;
  opened = os_hide_descriptor(opened);
  own->open = os_identify(opened, &identity, NULL);
  if (own->open)
    descriptor = opened;
  else
    os_close(opened);
  return own->open;
}

bool mover_init(const struct options *options) {
  if (mover_is_there()) return !os_is_sandboxed() && os_uses(options, OS_UFFD_MOVE);
  if (own || !os_uses(options, OS_UFFD_MOVE)) return false; /* not twice */
  struct own *made = os_map(2 * os_page);
  if (!made) return false;
  bool wipes = os_wipe_on_fork((uintptr_t)made, os_page);
  if (wipes)
    own = made;
  else
    os_unmap(made, 2 * os_page);
  return wipes && open_mover();
}

bool mover_is_there(void) {
  return own && own->open;
}

bool mover_is_lost(void) {
  return lost;
}

static void forget(void) {
  own->open = false;
  lost = true;
}

/* After a call that failed: another file may have the number by now. */
static bool look_after(bool done) {
  int error = errno;
  if (!done && !os_is(descriptor, &identity) && errno == EBADF) forget();
  return errno = error, done;
}

/* Another userfaultfd of the program's would take it. */
bool mover_watch(uintptr_t address, size_t size) {
  return mover_is_there() && look_after(os_is(descriptor, &identity)) &&
         look_after(os_uffd_watch(descriptor, address, size, false));
}

bool mover_make(uintptr_t to) {
  const void *zeros = (const char *)own + os_page;
  return mover_is_there() && look_after(os_uffd_make(descriptor, to, zeros));
}

bool mover_move(uintptr_t from, uintptr_t to) {
  return mover_is_there() && look_after(os_uffd_move(descriptor, from, to));
}

bool mover_restart(void) {
  if (!own || lost) return false;
  if (os_is(descriptor, &identity)) os_close(descriptor);
  if (!open_mover()) forget();
  return mover_is_there();
}
