/* The experiment that the linux-mm thread left open: pages that are missing in anonymous memory are
 * made by a thread which userfaultfd(2) tells of each fault, and which copies the pattern there.
 * Every page takes memory as soon as it is read, and a context switch to and fro.
 *
 * A forked child has no such thread, and its memory is not watched: what was not touched before
 * reads as zeros there. Nor is memory watched any more that mremap(2) moved, or if the program
 * closes the descriptor. */
#ifndef PATALLOC_UFFD_H
#define PATALLOC_UFFD_H

#include "os/files.h"
#include "os/uffd.h"

struct uffd {
  int descriptor;
  struct os_identity identity;
  int process;      /* that has the thread */
  const void *page; /* what each page is a copy of; NULL until started */
  bool follows;     /* whether stores to pages that were read first are counted */
  _Atomic uint64_t pages[UFFD_ACCESSES]; /* by their first accesses */
};

/* Starts the thread. With `follow` it counts the stores to pages that were read first, too, each of
 * which takes another fault. False with errno where there is no userfaultfd(2) for this process, or
 * no thread.
 */
bool uffd_start(struct uffd *uffd, const void *page, bool follow);

/* Maps watched memory over reserved address space. False with errno; in a forked child ENOTSUP. */
bool uffd_map(const struct uffd *uffd, uintptr_t address, size_t size);

#endif
