/* Going on behind a fault (see resume.h). */
#include "watch/resume.h"

#include "blocks/block.h"
#include "blocks/slot.h"
#include "os/guards.h"
#include "os/memory.h"
#include "os/sandbox.h"
#include "pages/fill.h"
#include "pages/mover.h"
#include "watch/recover.h"

#include <errno.h>
#include <signal.h>

enum { RESUMED_MOST = 100 };

static struct pattern pattern;
static _Atomic bool wanted;
_Atomic int resumed;
static _Atomic uintptr_t opened[RESUMED_MOST]; /* pages, and how they were shut; 0: none */

void resume_start(const struct options *options) {
  if (options->on_fault != ON_FAULT_CONTINUE || wanted) return;
  pattern = options->pattern;
  wanted = true;
}

/* The block that has the page, in whatever state; 0 for none. */
static uint32_t owner_of(uintptr_t page) {
  uint32_t block = region_holds((void *)page) ? block_find(page) : 0;
  bool inside = block && page >= block_pages(block) && page < block_end(block);
  return inside ? block : 0;
}

static bool is_live(uintptr_t page) {
  uint32_t block = owner_of(page), slot = chunk_holds(page) ? chunk_slot_of(page) : 0;
  if (block) return block_state(block) == GRANULE_LIVE;
  bool in_slot = chunk_holds(page) && page == chunk_slot_address(slot) && slot_known(slot);
  return in_slot && slot_table[slot].state == SLOT_LIVE;
}

bool resume_is_due(uintptr_t address) {
  bool may = wanted && resumed < RESUMED_MOST && !os_is_sandboxed();
  return may && !is_live(page_down(mte_untag(address)));
}

/* How it was shut before: by a marker, by protection, as nothing was mapped there; or in a way that
 * it is not to be again, as where it is open already. */
enum shut { MARKED, PROTECTED, UNMAPPED, MISSING, OPEN };

static bool open_page(uintptr_t page, enum shut *shut) {
  *shut = OPEN; /* by another thread, while this one waited to report */
  if (os_is_readable(page)) return true;
  *shut = MISSING;
  if (chunk_holds(page) && mover_is_there() && mover_make(page)) return true;
  *shut = MARKED; /* fails where there are no markers, and does nothing where this is none */
  if (os_guard_remove(page, os_page) && os_is_readable(page)) return true;
  *shut = PROTECTED;
  if (os_protect(page, os_page, true)) return true;
  *shut = UNMAPPED;
  return os_map_at(page, os_page);
}

static void shut_page(uintptr_t page, enum shut shut) {
  if (shut == MARKED) os_guard_install(page, os_page);
  if (shut == PROTECTED) os_protect(page, os_page, false);
  if (shut == UNMAPPED) os_drop(page, os_page);
}

static void fill_page(void *page) {
  if (pattern.size) fill_pattern(pattern, page, os_page);
}

/* A fault of our own is to come here, from a handler in which it is blocked. */
static bool try_to_fill(uintptr_t page) {
  sigset_t faults, mask;
  sigemptyset(&faults);
  sigaddset(&faults, SIGSEGV);
  sigaddset(&faults, SIGBUS);
  pthread_sigmask(SIG_UNBLOCK, &faults, &mask);
  bool filled = recover_try(fill_page, (void *)page);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  return filled;
}

bool resume_at(uintptr_t address) {
  uintptr_t page = page_down(mte_untag(address));
  int error = errno, number = atomic_fetch_add(&resumed, 1);
  bool opens = number < RESUMED_MOST && os_may_call();
  if (opens) {
    enum shut shut;
    opens = open_page(page, &shut) && (shut == OPEN || try_to_fill(page));
    if (opens && shut < MISSING) opened[number] = page | shut;
    os_called();
  }
  errno = error;
  return opens;
}

void resume_shut_around(uintptr_t start, uintptr_t end) {
  uintptr_t near = (uintptr_t)(chunk_holds(start) ? 1 : GRANULE_PAGES) << os_page_shift;
  int count = resumed;
  for (int i = 0; i < count && i < RESUMED_MOST; i++) {
    uintptr_t found = opened[i], page = page_down(found);
    if (page < start - near || page >= end + near) continue;
    if (!atomic_compare_exchange_strong(&opened[i], &found, 0)) continue;
    if (!owner_of(page)) shut_page(page, (enum shut)(found - page));
  }
}
