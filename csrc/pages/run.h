/* Runs: contiguous address space mapped, span after span, from one refpage. A shared run is one
 * span divided into equal slots, a block each; its guards are pages of the span made inaccessible.
 * A solo run holds one larger block, and maps just the pages of that block: the guard is address
 * space around them that is the run's, and where nothing is mapped.
 *
 * A run's spans begin at `start`, at `start + phase` and then every span's length, so that pages
 * can be moved span by span: mremap(2) refuses to cross VMAs (before Linux 6.17). */
#ifndef PATALLOC_RUN_H
#define PATALLOC_RUN_H

#include "pages/refpage.h"
#include "pages/region.h"

struct arena; /* whose the run is; known above */

enum { GUARD_MARKERS = 1, GUARD_PROTECTED = 2 };

/* `live`, `used`, and the links belong to the arena's lock; the rest to whoever owns the run's one
 * block (solo), or is constant (shared). For tags neighbours read what they find, without a lock.
 */
struct run {
  struct arena *_Atomic arena; /* NULL: there is no run; any thread may look */
  struct refpage *refpage;
  uintptr_t start, end;     /* what is mapped */
  size_t phase;             /* bytes in the first span */
  uint32_t first, granules; /* address space */
  uint32_t slot;            /* granules in a slot; of a solo run: 0 */
  uint32_t slots;
  _Atomic uint32_t used;         /* slots that ever held a block */
  uint32_t live;                 /* blocks that the program has */
  uint32_t fresh_next;           /* runs with slots that never held a block */
  uint32_t idle_next, idle_prev; /* runs without live blocks, in the order they fell idle */
  uint32_t idle_since;           /* milliseconds */
  _Atomic uint32_t vmas;         /* as counted in vmas_used */
  _Atomic uint8_t guards;        /* kinds of guards in it */
  uint8_t stage;
  _Atomic bool grown; /* whether its one block was made larger by realloc */
  bool lean; /* whether it maps no more than it was asked to, as the address space has a limit: its
                last span may be short */
};

/* How many pages of a solo run may lie before its block's. */
enum { RUN_FRONT_MOST = 1024u };

extern struct run *run_table;
static inline struct run *run_at(uint32_t index) {
  return &run_table[index];
}

/* Finds a place for the table of runs, once there is a region. Idempotent; safe in any thread. */
bool run_init(void);

/* A run of one span of this stage, of slots of `slot` granules. 0 with errno where there is none.
 */
uint32_t run_new_shared(struct arena *arena, struct refpage *refpage, unsigned stage,
                        uint32_t slot);

/* A run of `granules`, of which [offset, offset + size) bytes are mapped; the granule `lead` is
 * aligned, and none of the `gap` granules before the first is the end of another run. Where pages
 * will be moved in, `phase` is what their first span has; else 0. */
struct solo {
  uint32_t granules, lead, gap;
  size_t alignment, offset, size, phase;
  unsigned stage;
};
uint32_t run_new_solo(struct arena *arena, struct refpage *refpage, const struct solo *solo);

/* Whether a solo run's block should have longer spans, all of which were mapped or walked. */
bool run_is_outgrown(struct run *run, bool mapped);

/* Has a solo run map [start, its end), wherever `start` was, and have no more address space than
 * that with `guard` bytes on either side; the rest goes back to the region. Its block is forgotten.
 * Pages read as they did or, where there are new ones in their span, as the refpage makes them.
 * False where the kernel refuses: the run is fit for run_release only. */
bool run_fit(struct run *run, uintptr_t start, size_t guard);

/* Has a solo run map whole spans more, so that it reaches `end`, with `guard` bytes of address
 * space behind that. False where the address space is another's or the kernel refuses: what is
 * mapped stays as it was. */
bool run_lengthen(struct run *run, uintptr_t end, size_t guard);

/* Unmaps what a solo run maps behind the span that ends at `end` or goes beyond it; its address
 * space stays. Where the kernel refuses all stays mapped. */
void run_shorten(struct run *run, uintptr_t end);

/* Maps all of the run, which is solo, anew from another refpage; what was written is gone. False
 * where the kernel refuses: the run is fit for run_release only. */
RARE bool run_change_refpage(struct run *run, struct refpage *refpage);

/* Maps whole pages of a solo run's from another refpage; the run is for run_release then. False
 * where the kernel refuses: some may be mapped from it. */
RARE bool run_overlay(struct run *run, uintptr_t start, uintptr_t end, struct refpage *refpage);

/* Maps whole pages of the run anew, as they were made. False where the kernel refuses. */
RARE bool run_map_again(const struct run *run, uintptr_t from, uintptr_t to);

/* Moves the pages of [from, from + size) to the start of what `target` maps, span by span: by
 * mremap(2) if *moved, else, or where that fails (*moved is false then), by copying those that
 * differ from the pattern. False where neither can be done: all content is where it was. */
bool run_move(const struct run *source, uintptr_t from, struct run *target, size_t size,
              bool *moved);

/* The run of which this granule is the first or the last; NULL for none with tags. */
RARE const struct run *run_with_end(uint32_t granule);

/* Counts the run's VMAs anew, after guards with page protection were set in it. */
void run_count_vmas(struct run *run);

/* Brings the refpage's pattern back to pages of the run, which stay accessible. */
void run_reset(const struct run *run, uintptr_t start, size_t size, const struct options *options);

/* Unmaps a solo run, whose address space stays its own. False where the kernel refuses. */
RARE bool run_unmap(struct run *run);

/* Forgets the run and the blocks in it, unmaps it, and gives its address space back. */
void run_release(uint32_t index);

/* The same for all runs of an arena, whatever lives in them. */
RARE void run_release_all(const struct arena *arena);

uintptr_t run_span_end(const struct run *run, uintptr_t address);
static inline bool run_is_solo(const struct run *run) {
  return run->slot == 0;
}
static inline size_t run_bytes(const struct run *run) {
  return (size_t)run->granules << region.shift;
}

RARE void run_lock(void); /* around fork */
RARE void run_unlock(void);

#endif
