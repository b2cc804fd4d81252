/* Refpages: what supplies a pattern to mappings; and the refpage cache, one refpage per pattern and
 * tag, made on first use and shared by all heaps of the process.
 *
 * A refpage of the memfd kind comes in stages. Each is a sealed file of pattern pages, as long as
 * the spans that are mapped from it, and four times as long as the stage's before. A process begins
 * with the shortest, and pays little; a longer one is made when VMAs would become too many, or when
 * as much time went into walking them as it takes to fill the file. After a stage is made, its
 * template, a private mapping that is never written, is duplicated for each span, and the
 * descriptor is closed. Where mremap(2) cannot do that, the descriptor is kept, and its identity
 * checked before and after each use. */
#ifndef PATALLOC_REFPAGE_H
#define PATALLOC_REFPAGE_H

#include "base/lock.h"
#include "base/option.h"
#include "os/files.h"
#include "pages/uffd.h"

enum { STAGES = 7 };

enum refpage_kind {
  REFPAGE_ZERO,       /* anonymous memory: pattern 0, and the ground for memset */
  REFPAGE_MEMFD,      /* a sealed memfd a stage */
  REFPAGE_DESCRIPTOR, /* a kernel's own refpage: any length from one descriptor, in one VMA */
  REFPAGE_UFFD,       /* anonymous memory whose missing pages a thread makes */
};

struct stage {
  _Atomic uintptr_t template_; /* 0 until made */
  int descriptor;              /* kept open only where templates cannot be duplicated; else -1 */
  struct os_identity identity;
  _Atomic size_t walked; /* VMAs of larger blocks, by resets; one that was mapped counts for more */
};

struct refpage {
  struct refpage *next;
  struct pattern pattern;
  bool tagged; /* whether accesses are checked: by the tag that its pages come with */
  uint8_t tag;
  enum refpage_kind kind;
  struct backend backend; /* as asked for */
  bool duplicates;        /* whether templates are duplicated */
  bool scans; /* of a descriptor, whether ioctl(PAGEMAP_SCAN) tells its page from a copy */
  _Atomic unsigned paid; /* the last stage that was made as walks had taken as long as that takes */
  _Atomic size_t mapped; /* bytes mapped from it */
  struct lock lock;      /* held while a stage is made, so that it is made once */
  struct stage stages[STAGES];
  struct uffd uffd;
};

/* The refpage that these options ask for, from the cache; NULL where there can be none. */
struct refpage *refpage_get(const struct options *options, struct pattern pattern);

/* The same with tags; its siblings, which differ in the tag only, come from refpage_with_tag. */
RARE struct refpage *refpage_get_tagged(const struct options *options, struct pattern pattern);
RARE struct refpage *refpage_with_tag(const struct refpage *refpage, unsigned tag);

/* Anonymous zero pages: of calloc, and of blocks that are then memset. The tagged ones have tag 0
 * until other tags are stored. */
extern struct refpage refpage_zero, refpage_zero_tagged;

/* Whether its pages have a tag other than 0 before one is stored. */
static inline bool refpage_comes_tagged(const struct refpage *refpage) {
  return refpage->tagged && refpage->kind != REFPAGE_ZERO;
}

/* Whether what is mapped from it comes in spans, each a VMA. */
static inline bool refpage_has_spans(const struct refpage *refpage) {
  return refpage->kind == REFPAGE_MEMFD;
}

/* Whether ioctl(PAGEMAP_SCAN) tells which of its pages were written. */
static inline bool refpage_scans(const struct refpage *refpage) {
  return refpage->kind != REFPAGE_DESCRIPTOR || refpage->scans;
}

/* Bytes in a span of this stage. */
size_t refpage_span(unsigned stage);

/* The stage for another `size` bytes: the first whose spans keep the VMAs few; STAGES for none. For
 * a block with spans of its own, a later one that was paid for. */
unsigned refpage_stage(const struct refpage *refpage, size_t size);
unsigned refpage_stage_alone(const struct refpage *refpage, size_t size);

/* Counts what a block's spans have cost, as so many walks of one. True where the block should have
 * longer ones. */
enum { WALKS_A_MAPPING = 25 };
bool refpage_outgrows(struct refpage *refpage, unsigned stage, size_t spans, size_t walks);

/* Maps one span, or the part of one that begins `offset` bytes from its start, over reserved
 * address space; where that is told, parts that lie one behind the other are one VMA. False with
 * errno. */
bool refpage_map(struct refpage *refpage, unsigned stage, uintptr_t address, size_t size,
                 size_t offset);

/* VMAs that all heaps of the process use, and how many they may; kept by run.c. */
extern _Atomic size_t vmas_used;
size_t vmas_allowed(void);

/* Makes its first stages, of 128 KiB to 2 MiB, before they are needed. */
RARE void refpage_prepare(struct refpage *refpage);

/* Whether a forked child can go on with it. */
bool refpage_outlives_fork(const struct refpage *refpage);

RARE void refpage_lock_all(void); /* around fork */
RARE void refpage_unlock_all(void);

#endif
