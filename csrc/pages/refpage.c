/* Refpages and their cache (see refpage.h). */
#include "pages/refpage.h"

#include "base/text.h"
#include "os/apart.h"
#include "os/features.h"
#include "os/limits.h"
#include "os/memory.h"
#include "os/pagemap.h"
#include "os/sandbox.h"
#include "os/tags.h"
#include "pages/region.h"

#include <errno.h>
#include <string.h>

enum { LAST_STAGE = STAGES - 1 };

struct refpage refpage_zero = {.pattern = {0, 1}, .kind = REFPAGE_ZERO};
struct refpage refpage_zero_tagged = {.pattern = {0, 1}, .kind = REFPAGE_ZERO, .tagged = true};

_Atomic size_t vmas_used;

/* Three quarters of the limit: the program needs some for itself. */
size_t vmas_allowed(void) {
  static _Atomic size_t allowed;
  if (!allowed) allowed = os_max_map_count() / 4 * 3;
  return allowed;
}

/* Stages */

size_t refpage_span(unsigned stage) {
  enum { PAGES_SHIFT = 5, STEP_SHIFT = 2 }; /* 128 KiB, 512 KiB, ... 512 MiB at 4 KiB pages */
  return os_page << (PAGES_SHIFT + STEP_SHIFT * stage);
}

/* Bytes up to which a stage is used. */
static size_t stage_capacity(unsigned stage) {
  static const size_t spans[STAGES] = {16, 32, 1024, 2048, 32768, 12288, SIZE_MAX};
  size_t capacity;
  if (__builtin_mul_overflow(refpage_span(stage), spans[stage], &capacity)) return SIZE_MAX;
  return capacity;
}

/* A file past the limit of files' sizes would end the process by SIGXFSZ (setrlimit(2)); where
 * address space has a limit, templates take little of it. */
static bool is_too_long(const struct refpage *refpage, unsigned stage) {
  enum { LIMIT_SHARE = 2048, MEMORY_SHARE = 32 };
  static _Atomic size_t most;
  if (stage == STAGES) return true;
  if (refpage->kind != REFPAGE_MEMFD || refpage->stages[stage].template_) return false;
  if (os_is_sandboxed()) return true;
  size_t span = refpage_span(stage);
  if (!most) most = os_physical_memory() / MEMORY_SHARE;
  return span > most || (stage && span > region_limit / LIMIT_SHARE) || span > os_file_size_limit();
}

unsigned refpage_stage(const struct refpage *refpage, size_t size) {
  size_t mapped = refpage->mapped + size, used = vmas_used, allowed = vmas_allowed();
  for (unsigned stage = 0; !is_too_long(refpage, stage); stage++) {
    if (mapped > stage_capacity(stage) && !is_too_long(refpage, stage + 1)) continue;
    if (used + size / refpage_span(stage) < allowed) return stage;
  }
  return refpage->kind == REFPAGE_ZERO ? LAST_STAGE : STAGES; /* zero pages share one VMA */
}

unsigned refpage_stage_alone(const struct refpage *refpage, size_t size) {
  enum { ENDLESS_STAGE = 2 }; /* blocks grow and shrink by these 2 MiB, though they are one VMA */
  if (refpage->kind == REFPAGE_DESCRIPTOR || refpage->kind == REFPAGE_UFFD) return ENDLESS_STAGE;
  unsigned stage = refpage_stage(refpage, size);
  return stage < refpage->paid ? refpage->paid : stage;
}

/* Names the file for what it holds, so that /proc/PID/maps reads well. */
static void name_of(const struct refpage *refpage, char *name, size_t capacity) {
  struct text text = {name, capacity, 0};
  unsigned size = refpage->pattern.size;
  text_string(&text, "patalloc-");
  text_hex(&text, refpage->pattern.word & (UINT64_MAX >> (64 - 8 * size)), 2 * size);
  if (!refpage->tagged) return;
  text_string(&text, "-tag-");
  text_decimal(&text, refpage->tag);
}

static void pattern_page(const struct refpage *refpage, char *page) {
  for (size_t at = 0; at < os_page; at += sizeof refpage->pattern.word)
    memcpy(page + at, &refpage->pattern.word, sizeof refpage->pattern.word);
}

static bool is_a_file(const struct refpage *refpage) {
  return refpage->kind == REFPAGE_MEMFD || refpage->backend.kind == BACKEND_WRAP;
}

static int make_memfd(const struct refpage *refpage, const void *page, size_t size) {
  char name[40];
  name_of(refpage, name, sizeof name);
  int descriptor = refpage->kind == REFPAGE_MEMFD ? os_memfd(name) : os_memfd_wrap(name);
  if (descriptor < 0) return -1;
  bool filled = os_fill(descriptor, page, size);
  if (filled && refpage->tagged) filled = os_tag_file(descriptor, size, refpage->tag);
  if (filled && os_seal(descriptor)) return descriptor;
  int error = errno;
  os_close(descriptor);
  errno = error;
  return -1;
}

/* The kernel reads the tags with the content. Its own accesses are checked where the thread's are
 * (memory-tagging-extension.rst), and take a pointer's tag for a part of the address where they are
 * not. */
RARE static int make_tagged(const struct refpage *refpage, const void *page) {
  char *content = os_map_tagged(os_page);
  if (!content) return -1;
  memcpy(content, page, os_page);
  mte_tag((uintptr_t)content, (uintptr_t)content + os_page, refpage->tag);
  uintptr_t pointer = mte_with_tag((uintptr_t)content, refpage->tag);
  int descriptor =
      os_refpage_syscall(refpage->backend.number, (void *)pointer, (unsigned)os_page, 0);
  if (descriptor < 0 && errno == EFAULT)
    descriptor = os_refpage_syscall(refpage->backend.number, content, (unsigned)os_page, 0);
  int error = errno;
  os_unmap(content, os_page);
  errno = error;
  return descriptor;
}

RARE static int make_descriptor(const struct refpage *refpage, const void *page) {
  const void *content = &refpage->pattern.word;
  int kind = refpage->backend.kind;
  if (kind == BACKEND_DEVICE) return os_refpage_device(content, refpage->pattern.size, 0);
  if (refpage->tagged) return make_tagged(refpage, page);
  return os_refpage_syscall(refpage->backend.number, content, refpage->pattern.size, 0);
}

/* What a descriptor maps may be anything, even what can't be read: a system call's number is the
 * user's word only. */
RARE static bool shows(const struct refpage *refpage, uintptr_t address, const void *page) {
  if (!os_is_readable(address)) return false;
  bool before = refpage->tagged && mte_ignore(true);
  bool same = !memcmp((const void *)address, page, os_page);
  if (!refpage->tagged) return same;
  mte_ignore(before);
  return same && mte_tag_at(address) == refpage->tag;
}

static uintptr_t map_template(const struct refpage *refpage, int descriptor, size_t size) {
  uintptr_t start = region_take_apart(size);
  if (!start || os_map_private(start, size, descriptor, 0, refpage->tagged)) return start;
  int error = errno;
  os_drop(start, size);
  errno = error;
  return 0;
}

RARE static void note_dirty(void *dirty, uintptr_t from, uintptr_t to) {
  (void)from, (void)to;
  *(bool *)dirty = true;
}

/* Of a page that the program reads, and never writes: the kernel's own accesses may have got a copy
 * of it. */
RARE static bool is_told_from_a_copy(uintptr_t page) {
  bool dirty = false;
  os_reset(page, os_page);
  (void)*(const volatile char *)page;
  return os_dirty_ranges(page, os_page, true, note_dirty, &dirty) && !dirty;
}

/* Whether it holds the pattern; and whether its pages are told from copies. */
RARE static bool is_proven(struct refpage *refpage, uintptr_t template_, const char *page) {
  if (!shows(refpage, template_, page)) return false;
  refpage->scans = is_told_from_a_copy(template_);
  return true;
}

static bool make_template(struct refpage *refpage, struct stage *stage, size_t size,
                          const char *page) {
  if (!refpage->duplicates) size = os_page;
  uintptr_t template_ = map_template(refpage, stage->descriptor, size);
  if (!template_) return false;
  if (refpage->kind == REFPAGE_DESCRIPTOR && !is_proven(refpage, template_, page)) {
    os_drop(template_, size);
    return errno = EINVAL, false;
  }
  stage->template_ = template_;
  return true;
}

static bool make_here(struct refpage *refpage, struct stage *stage, size_t size) {
  char page[os_page];
  if (refpage->kind == REFPAGE_DESCRIPTOR) size = os_page;
  if (refpage->kind == REFPAGE_MEMFD && size > os_file_size_limit()) return errno = EFBIG, false;
  pattern_page(refpage, page);
  stage->descriptor =
      is_a_file(refpage) ? make_memfd(refpage, page, size) : make_descriptor(refpage, page);
  if (stage->descriptor < 0) return false;
  bool made = os_identify(stage->descriptor, &stage->identity, NULL) &&
              make_template(refpage, stage, size, page);
  int error = errno;
  if (made && !refpage->duplicates) {
    stage->descriptor = os_hide_descriptor(stage->descriptor);
  } else {
    os_close(stage->descriptor);
    stage->descriptor = -1;
  }
  errno = error;
  return made;
}

struct stage_to_make {
  struct refpage *refpage;
  struct stage *stage;
  size_t size;
  bool made;
};

static void make_apart(void *context) {
  struct stage_to_make *wanted = context;
  wanted->made = make_here(wanted->refpage, wanted->stage, wanted->size);
}

/* Where spans are mapped from the descriptor it stays the process's. */
static bool make_stage(struct refpage *refpage, struct stage *stage, size_t size) {
  if (!refpage->duplicates) return make_here(refpage, stage, size);
  struct stage_to_make wanted = {refpage, stage, size, false};
  os_apart(make_apart, &wanted);
  return wanted.made;
}

/* Mapping */

RARE static bool is_ours(const struct stage *stage) {
  return stage->descriptor >= 0 && os_is(stage->descriptor, &stage->identity);
}

RARE static bool make_again(struct refpage *refpage, struct stage *stage, size_t span) {
  os_drop(stage->template_, os_page);
  stage->template_ = 0;
  return make_stage(refpage, stage, span);
}

/* Neighbours whose offsets go on where the addresses do become one VMA; to a kernel's refpage an
 * offset means nothing else. One inode may serve all that a system call makes, as that of versions
 * 3 and 4 of the proposal did, and so the identity is not enough. */
RARE static bool map_and_check(struct refpage *refpage, struct stage *stage, uintptr_t address,
                               size_t size, size_t offset) {
  char page[os_page];
  if (refpage->kind == REFPAGE_DESCRIPTOR) offset = address;
  if (!os_map_private(address, size, stage->descriptor, offset, refpage->tagged)) return false;
  if (!is_ours(stage)) return false;
  if (refpage->backend.kind != BACKEND_SYSCALL) return true;
  pattern_page(refpage, page);
  if (shows(refpage, address, page)) return true;
  return errno = EBADF, false;
}

/* The program may have closed the descriptor, and another file may have its number now: whatever
 * number remains is never mapped. Checked after too, for a close in between by another thread. */
RARE static bool map_descriptor(struct refpage *refpage, struct stage *stage, size_t span,
                                uintptr_t address, size_t size, size_t offset) {
  if (!is_ours(stage) && !make_again(refpage, stage, span)) return false;
  if (map_and_check(refpage, stage, address, size, offset)) return true;
  return errno == EBADF && make_again(refpage, stage, span) &&
         map_and_check(refpage, stage, address, size, offset);
}

bool refpage_map(struct refpage *refpage, unsigned stage_number, uintptr_t address, size_t size,
                 size_t offset) {
  if (refpage->kind == REFPAGE_ZERO) return os_map_zero(address, size, refpage->tagged);
  if (refpage->kind == REFPAGE_UFFD) return uffd_map(&refpage->uffd, address, size);
  struct stage *stage = &refpage->stages[refpage->kind == REFPAGE_MEMFD ? stage_number : 0];
  size_t span = refpage_span(stage_number);
  bool ready = true, mapped;
  if (!stage->template_ || !refpage->duplicates) {
    lock_take(&refpage->lock);
    if (!stage->template_) ready = make_stage(refpage, stage, span);
    if (ready && !refpage->duplicates) {
      mapped = map_descriptor(refpage, stage, span, address, size, offset);
      lock_drop(&refpage->lock);
      return mapped;
    }
    lock_drop(&refpage->lock);
  }
  return ready && os_duplicate((void *)(stage->template_ + offset), address, size);
}

/* Renting or buying (Karlin et al., "Competitive snoopy caching", 1988): a longer file is made when
 * as much time has gone into VMAs, 0.13 us for each walk, as it takes to fill it, 1.4 us a page.
 * So no program takes more than twice the time it would have with the better choice; and the file
 * is at most half as long as the block that pays for it. */

static bool pay(struct refpage *refpage, unsigned stage) {
  size_t span = refpage_span(stage);
  bool made = refpage->stages[stage].template_;
  if (made || span > os_available_memory() / 16) return made;
  lock_take(&refpage->lock);
  made = refpage->stages[stage].template_ || make_stage(refpage, &refpage->stages[stage], span);
  lock_drop(&refpage->lock);
  return made;
}

bool refpage_outgrows(struct refpage *refpage, unsigned stage, size_t spans, size_t walks) {
  enum { SPANS_LEAST = 8, WALKS_A_PAGE = 11, STAGES_PAID = LAST_STAGE };
  unsigned next = stage + 1;
  if (refpage->kind != REFPAGE_MEMFD || spans < SPANS_LEAST || next >= STAGES_PAID) return false;
  if (refpage->tagged) return false; /* there would be a longer file for each of 15 tags */
  if (refpage->paid >= next) return true;
  size_t price = (refpage_span(next) >> os_page_shift) * WALKS_A_PAGE;
  _Atomic size_t *walked = &refpage->stages[stage].walked;
  if (atomic_fetch_add_explicit(walked, walks, memory_order_relaxed) + walks < price) return false;
  *walked = 0;
  if (!pay(refpage, next)) return false;
  refpage->paid = next;
  return true;
}

/* The cache */

static struct lock cache_lock;
static struct refpage *cache; /* never shrinks: a process has few patterns, each a page */

static bool is_same(const struct refpage *a, const struct refpage *b) {
  return a->pattern.word == b->pattern.word && a->pattern.size == b->pattern.size &&
         a->tagged == b->tagged && a->tag == b->tag && a->backend.kind == b->backend.kind &&
         a->backend.number == b->backend.number && a->duplicates == b->duplicates;
}

static struct refpage *cached(const struct refpage *wanted) {
  struct refpage *at = cache;
  while (at && !is_same(at, wanted)) at = at->next;
  return at;
}

static struct refpage *find_or_add(const struct refpage *wanted) {
  lock_take(&cache_lock);
  struct refpage *found = cached(wanted);
  lock_drop(&cache_lock);
  if (found) return found;
  struct refpage *added = os_map(os_page); /* without the lock; another thread may be as far */
  if (!added) return NULL;
  *added = *wanted;
  for (int i = 0; i < STAGES; i++) added->stages[i].descriptor = -1;
  lock_take(&cache_lock);
  found = cached(wanted);
  if (!found) {
    added->next = cache;
    cache = added;
  }
  lock_drop(&cache_lock);
  if (found) os_unmap(added, os_page);
  return found ? found : added;
}

RARE static bool start_uffd(struct refpage *refpage, bool follow) {
  if (refpage->uffd.page) return true;
  char *page = os_map(os_page);
  if (!page) return false;
  pattern_page(refpage, page);
  if (uffd_start(&refpage->uffd, page, follow)) return true;
  int error = errno;
  os_unmap(page, os_page);
  errno = error;
  return false;
}

static enum refpage_kind kind_of(int backend) {
  return backend == BACKEND_MEMFD  ? REFPAGE_MEMFD
         : backend == BACKEND_UFFD ? REFPAGE_UFFD
                                   : REFPAGE_DESCRIPTOR;
}

static struct refpage *refpage_from(const struct options *options, struct pattern pattern,
                                    struct backend backend) {
  int kind = backend.kind;
  bool memfd = kind == BACKEND_MEMFD;
  if (memfd && !os_uses(options, OS_MEMFD)) return NULL;
  if (kind == BACKEND_DEVICE && !os_uses(options, OS_DEVICE)) return NULL;
  if (kind == BACKEND_WRAP && !os_uses(options, OS_MMAP_WRAP)) return NULL;
  if (kind == BACKEND_UFFD && !os_uses(options, OS_USERFAULTFD)) return NULL;
  struct refpage wanted = {
      .pattern = pattern,
      .kind = kind_of(kind),
      .backend = backend,
      /* A template would have to be as long as the longest block, and mlockall(2) would make all
       * of its pages. */
      .duplicates = memfd && os_uses(options, OS_MREMAP_DONTUNMAP),
  };
  struct refpage *refpage = find_or_add(&wanted);
  if (!refpage || memfd) return refpage;
  lock_take(&refpage->lock); /* whether a kernel has refpages shows when the first is made */
  struct stage *stage = &refpage->stages[0];
  bool made = kind == BACKEND_UFFD
                  ? start_uffd(refpage, options->count)
                  : stage->template_ || make_stage(refpage, stage, refpage_span(0));
  lock_drop(&refpage->lock);
  return made ? refpage : NULL;
}

struct refpage *refpage_get(const struct options *options, struct pattern pattern) {
  if (!pattern.word) return &refpage_zero;
  switch (options->backend.kind) {
  case BACKEND_NONE:
    return NULL;
  case BACKEND_AUTO: /* the kernel can use all of a memfd's pages as it can those of files */
    return refpage_from(options, pattern, (struct backend){BACKEND_MEMFD, 0});
  default:
    return refpage_from(options, pattern, options->backend);
  }
}

/* Files take tags by shared mappings, and the system call with its content; nothing else does. */
struct refpage *refpage_get_tagged(const struct options *options, struct pattern pattern) {
  int kind = options->backend.kind;
  bool call = kind == BACKEND_SYSCALL;
  if (!call && kind != BACKEND_AUTO && kind != BACKEND_MEMFD) return NULL;
  if (!os_uses(options, OS_TAG_REFPAGES) || (!call && !os_uses(options, OS_MEMFD))) return NULL;
  struct refpage wanted = {
      .pattern = pattern.size ? pattern : refpage_zero.pattern,
      .tagged = true,
      .kind = call ? REFPAGE_DESCRIPTOR : REFPAGE_MEMFD,
      .backend = call ? options->backend : (struct backend){BACKEND_MEMFD, 0},
      .duplicates = !call && os_uses(options, OS_MREMAP_DONTUNMAP),
  };
  return refpage_with_tag(&wanted, 1);
}

struct refpage *refpage_with_tag(const struct refpage *refpage, unsigned tag) {
  struct refpage wanted = {
      .pattern = refpage->pattern,
      .tagged = true,
      .tag = (uint8_t)tag,
      .kind = refpage->kind,
      .backend = refpage->backend,
      .duplicates = refpage->duplicates,
  };
  return find_or_add(&wanted);
}

void refpage_prepare(struct refpage *refpage) {
  enum { PREPARED = 3 };
  for (unsigned stage = 0; stage < PREPARED && !is_too_long(refpage, stage); stage++)
    pay(refpage, stage);
}

bool refpage_outlives_fork(const struct refpage *refpage) {
  return refpage->kind != REFPAGE_UFFD;
}

/* Every lock of the cache; the list does not change while the first is held. */
void refpage_lock_all(void) {
  lock_take(&cache_lock);
  for (struct refpage *at = cache; at; at = at->next) lock_take(&at->lock);
}

void refpage_unlock_all(void) {
  for (struct refpage *at = cache; at; at = at->next) lock_drop(&at->lock);
  lock_drop(&cache_lock);
}
