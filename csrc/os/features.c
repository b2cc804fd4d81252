/* Kernel features (see features.h): each probe tries what it asks about, on pages of its own. */
#include "os/features.h"

#include "os/apart.h"
#include "os/call.h"
#include "os/files.h"
#include "os/guards.h"
#include "os/limits.h"
#include "os/memory.h"
#include "os/pagemap.h"
#include "os/process.h"
#include "os/tags.h"
#include "os/uffd.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const os_feature_names[OS_FEATURES + 1] = {
    [OS_MEMFD] = "memfd",
    [OS_MREMAP_DONTUNMAP] = "mremap_dontunmap",
    [OS_GUARD_REGIONS] = "guard_regions",
    [OS_DONTNEED_LOCKED] = "dontneed_locked",
    [OS_PROCESS_MADVISE] = "process_madvise",
    [OS_PAGEMAP_SCAN] = "pagemap_scan",
    [OS_PROC] = "proc",
    [OS_POPULATE] = "populate",
    [OS_HUGE_PAGES] = "huge_pages",
    [OS_DEVICE] = "device",
    [OS_MMAP_WRAP] = "mmap_wrap",
    [OS_USERFAULTFD] = "userfaultfd",
    [OS_UFFD_MOVE] = "uffd_move",
    [OS_MTE] = "mte",
    [OS_TAG_REFPAGES] = "tag_refpages",
};

/* Probes */

enum { PROBE_PAGES = 3 }; /* the last for what may stay inaccessible */

/* Pages mapped as spans are; of zeros where there is no memfd, which *memfd tells. */
static char *probe_mapping(bool *memfd) {
  bool fits = PROBE_PAGES * os_page <= os_file_size_limit();
  int descriptor = fits ? os_memfd("patalloc-probe") : (errno = EFBIG, -1);
  char *mapped = NULL;
  *memfd = false;
  if (descriptor >= 0) {
    if (os_resize(descriptor, PROBE_PAGES * os_page) && os_seal(descriptor))
      mapped = os_map_template(PROBE_PAGES * os_page, descriptor, false);
    os_close(descriptor);
    *memfd = mapped;
  }
  return mapped ? mapped : os_map(PROBE_PAGES * os_page);
}

static bool probe_mremap(char *pages) {
  void *target = os_reserve(os_page);
  bool works = target && os_duplicate(pages, (uintptr_t)target, os_page);
  if (target) os_unmap(target, os_page);
  return works;
}

/* Emulators have been seen to take advice that they don't know for done (QEMU's user mode). */
static bool probe_guard(char *pages) {
  uintptr_t last = (uintptr_t)pages + (PROBE_PAGES - 1) * os_page;
  return os_guard_install(last, os_page) && !os_is_readable(last) &&
         os_guard_remove(last, os_page) && os_is_readable(last);
}

static bool probe_dontneed_locked(char *pages) {
  return os_reset_locked((uintptr_t)pages, os_page);
}

static bool probe_process_madvise(char *pages) {
  struct os_range ranges[] = {{(uintptr_t)pages, os_page}, {(uintptr_t)pages + os_page, os_page}};
  return os_reset_all(ranges, 2);
}

static void count_pages(void *count, uintptr_t from, uintptr_t to) {
  *(size_t *)count += (to - from) >> os_page_shift;
}

static bool finds_the_dirty_page(char *pages, bool scan) {
  size_t count = 0;
  os_reset((uintptr_t)pages, 2 * os_page);
  pages[0] = 1;
  return os_dirty_ranges((uintptr_t)pages, 2 * os_page, scan, count_pages, &count) && count == 1;
}

static bool probe_pagemap_scan(char *pages) {
  return finds_the_dirty_page(pages, true);
}

static bool probe_proc(char *pages) {
  return finds_the_dirty_page(pages, false);
}

static bool probe_populate(char *pages) {
  return os_populate((uintptr_t)pages, os_page);
}

static bool probe_huge_pages(char *pages) {
  (void)pages;
  return os_huge_page() != 0;
}

/* HWCAP2_MTE says that user space may use the instructions. */
static bool probe_mte(char *pages) {
  enum { MTE_CAPABILITY = 1 << 18 };
  (void)pages;
#ifdef __aarch64__
  return getauxval(AT_HWCAP2) & MTE_CAPABILITY;
#else
  return false;
#endif
}

static bool holds_its_tag(int descriptor) {
  enum { TAG = 5 };
  char *mapped = NULL;
  if (os_resize(descriptor, os_page) && os_tag_file(descriptor, os_page, TAG))
    mapped = os_map_template(os_page, descriptor, true);
  bool holds = mapped && mte_tag_at((uintptr_t)mapped) == TAG;
  if (mapped) os_unmap(mapped, os_page);
  return holds;
}

static bool probe_tag_refpages(char *pages) {
  if (!probe_mte(pages)) return false;
  int descriptor = os_memfd("patalloc-probe");
  bool holds = descriptor >= 0 && holds_its_tag(descriptor);
  if (descriptor >= 0) os_close(descriptor);
  return holds;
}

static bool probe_device(char *pages) {
  (void)pages;
  int device = os_open_refpage_device();
  if (device < 0) return false;
  os_close(device);
  return true;
}

RARE static bool probe_uffd(int (*open)(void)) {
  int descriptor = open();
  if (descriptor < 0) return false;
  os_close(descriptor);
  return true;
}

enum { PROBED = 1 << 30, UNSURE = 1 << 31 };

/* Whether a probe failed for what may be otherwise a moment later. */
static bool is_transient(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == EFBIG;
}

static uint32_t probe_one(bool (*probe)(char *), char *pages, int feature) {
  errno = 0;
  if (probe(pages)) return 1u << feature;
  return is_transient(errno) ? UNSURE : 0;
}

/* What Valgrind does not know it complains of on standard error. */
static bool is_worth_a_try(int feature) {
  bool new = feature == OS_GUARD_REGIONS || feature == OS_PROCESS_MADVISE ||
             feature == OS_PAGEMAP_SCAN || feature == OS_USERFAULTFD || feature == OS_UFFD_MOVE;
  return !new || !os_is_under_valgrind();
}

/* Where there is no file to try on, what is found may not hold for files: all is unsure. */
static uint32_t probe_apart(void) {
  static bool (*const probes[OS_FEATURES])(char *) = {[OS_MREMAP_DONTUNMAP] = probe_mremap,
                                                      [OS_GUARD_REGIONS] = probe_guard,
                                                      [OS_DONTNEED_LOCKED] = probe_dontneed_locked,
                                                      [OS_PROCESS_MADVISE] = probe_process_madvise,
                                                      [OS_PAGEMAP_SCAN] = probe_pagemap_scan,
                                                      [OS_PROC] = probe_proc,
                                                      [OS_POPULATE] = probe_populate,
                                                      [OS_HUGE_PAGES] = probe_huge_pages,
                                                      [OS_DEVICE] = probe_device,
                                                      [OS_MTE] = probe_mte,
                                                      [OS_TAG_REFPAGES] = probe_tag_refpages};
  uint32_t found = PROBED;
  bool memfd;
  errno = 0;
  char *pages = probe_mapping(&memfd);
  if (memfd) found |= 1u << OS_MEMFD;
  if (!memfd && is_transient(errno)) found |= UNSURE;
  if (!pages) return found | UNSURE;
  for (int i = 0; i < OS_FEATURES; i++)
    if (probes[i] && is_worth_a_try(i)) found |= probe_one(probes[i], pages, i);
  os_unmap(pages, PROBE_PAGES * os_page);
  return found;
}

static void probe(void *found) {
  *(uint32_t *)found = probe_apart();
}

static uint32_t probe_all(void) {
  uint32_t found = 0;
  os_apart(probe, &found);
  return found;
}

/* What failed for want of descriptors, memory or file size is tried again after a while. Two
 * threads may both probe: same answer. */
static uint32_t known_features(void) {
  enum { WHILE = 1000 }; /* milliseconds */
  static _Atomic uint32_t known, probed;
  uint32_t found = atomic_load_explicit(&known, memory_order_relaxed);
  if (found && !(found & UNSURE)) return found;
  uint32_t now = os_milliseconds();
  if (found && now - probed < WHILE) return found;
  int error = errno;
  probed = now;
  atomic_store_explicit(&known, found = probe_all(), memory_order_relaxed);
  errno = error;
  return found;
}

/* What is asked again and again is remembered: 1 is no, 2 yes. */
RARE static bool ask_once(_Atomic uint8_t *known, bool (*probe)(void)) {
  if (*known) return *known == 2;
  errno = 0;
  bool works = probe();
  if (works || !is_transient(errno)) *known = works ? 2 : 1;
  return works;
}

RARE static bool probe_mover(void) {
  return probe_uffd(os_uffd_open_mover);
}

/* That there is such a flag does not say that it means this. */
RARE static bool probe_mmap_wrap(void) {
  char content[os_page];
  memset(content, 1, os_page);
  int descriptor = os_memfd_wrap("patalloc-probe");
  bool made = descriptor >= 0 && os_fill(descriptor, content, os_page) && os_seal(descriptor);
  char *mapped = made ? os_map_template(2 * os_page, descriptor, false) : NULL;
  bool wraps = mapped && os_is_readable((uintptr_t)mapped + os_page) && mapped[os_page] == 1;
  if (mapped) os_unmap(mapped, 2 * os_page);
  if (descriptor >= 0) os_close(descriptor);
  return wraps;
}

/* userfaultfd(2) is tried only when asked for: a sandbox may end a process for it. With the
 * privilege where a thread serves faults: else the kernel's own accesses would fail (Linux 5.11).
 */
bool os_has(enum os_feature feature) {
  static _Atomic uint8_t moves, wraps;
  if (feature == OS_USERFAULTFD) return is_worth_a_try(feature) && probe_uffd(os_uffd_open);
  if (feature == OS_MMAP_WRAP) return ask_once(&wraps, probe_mmap_wrap);
  if (feature == OS_UFFD_MOVE) return is_worth_a_try(feature) && ask_once(&moves, probe_mover);
  return known_features() >> feature & 1;
}

/* Where freed small blocks are to be out of reach at once, or guards would be two mappings each. */
RARE static bool wants_moves(const struct options *options) {
  if (!options_guard_small(options) || options_sample(options)) return false;
  return !options->delay || !os_uses(options, OS_GUARD_REGIONS);
}

bool os_uses(const struct options *options, enum os_feature feature) {
  if (feature == OS_USERFAULTFD && options->backend.kind != BACKEND_UFFD) return false;
  if (feature == OS_MMAP_WRAP && options->backend.kind != BACKEND_WRAP) return false;
  if (feature == OS_UFFD_MOVE && !wants_moves(options)) return false;
  return !(options->without >> feature & 1) && os_has(feature);
}
