/* Going on behind a fault (see resume.h). */
#include "watch/resume.h"

#include "blocks/block.h"
#include "os/guards.h"
#include "os/memory.h"
#include "os/sandbox.h"
#include "pages/chunk.h"
#include "pages/fill.h"
#include "pages/mover.h"
#include "watch/recover.h"

#include <errno.h>
#include <stdatomic.h>

enum { RESUMED_MOST = 100 };

static struct pattern pattern;
static _Atomic bool wanted;
static _Atomic int resumed;
static _Atomic uintptr_t opened[RESUMED_MOST]; /* pages, and how they were shut; 0: none */

void resume_start(const struct options *options) {
  if (options->on_fault != ON_FAULT_CONTINUE || wanted) return;
  pattern = options->pattern;
  wanted = true;
}

bool resume_is_due(void) {
  return wanted && resumed < RESUMED_MOST;
}

/* How it was shut before: by a marker, by protection, as nothing was mapped there; or in a way that
 * it is not to be again. */
enum shut { MARKED, PROTECTED, UNMAPPED, MISSING };

static bool open_page(uintptr_t page, enum shut *shut) {
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

static void mark(uint32_t granule) {
  if (block_state(granule) == GRANULE_LIVE) region.table[granule].kept = GRANULE_OPENED;
}

/* Whose guard it may be: a block that ends less than a granule before it, and one that begins as
 * near behind it. */
static void mark_neighbours(uintptr_t page) {
  if (!region_holds((void *)page)) return;
  uint32_t before = 0, first = granule_of(page);
  for (size_t back = 0; !before && back < GRANULE_PAGES; back++)
    before = block_find(page - (back << os_page_shift));
  if (before) mark(before);
  for (uint32_t granule = first; granule <= first + 1; granule++)
    if (region_holds((void *)granule_address(granule))) mark(granule);
}

bool resume_at(uintptr_t address) {
  uintptr_t page = page_down(mte_untag(address));
  int error = errno, number = atomic_fetch_add(&resumed, 1);
  bool opens = number < RESUMED_MOST && os_may_call();
  if (opens) {
    enum shut shut;
    opens = open_page(page, &shut) && recover_try(fill_page, (void *)page);
    if (opens) opened[number] = page | shut;
    os_called();
  }
  if (opens) mark_neighbours(page);
  errno = error;
  return opens;
}

void resume_shut(uintptr_t from, uintptr_t to) {
  int count = resumed;
  for (int i = 0; i < count && i < RESUMED_MOST; i++) {
    uintptr_t found = opened[i], page = page_down(found);
    if (page < from || page >= to || !atomic_compare_exchange_strong(&opened[i], &found, 0))
      continue;
    shut_page(page, (enum shut)(found - page));
  }
}
