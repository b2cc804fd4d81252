/* Arm's memory tags (see tags.h). */
#include "os/tags.h"

#include "os/call.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A part at a time, as the pages count in RSS while they are mapped. PROT_MTE is for anonymous
 * memory and for files that lie in memory (memory-tagging-extension.rst); tags stay with the file's
 * pages. */
bool os_tag_file(int descriptor, size_t size, unsigned tag) {
  enum { PART = 1 << 21 };
  for (size_t done = 0; done < size; done += PART) {
    size_t part = size - done < PART ? size - done : PART;
    if (os_refuses("mmap")) return false;
    void *mapped =
        mmap(NULL, part, PROT_READ | PROT_WRITE | PROT_MTE, MAP_SHARED, descriptor, (off_t)done);
    if (mapped == MAP_FAILED) return false;
    mte_tag((uintptr_t)mapped, (uintptr_t)mapped + part, tag);
    munmap(mapped, part);
  }
  return true;
}

/* The constants are newer than the oldest C library that this builds with (prctl(2)). */

bool os_check_tags(enum tag_check check) {
  enum { SET_TAGGED_ADDR_CTRL = 55, ADDR_ENABLE = 1, SYNC = 2, ASYNC = 4, TAG_SHIFT = 3 };
  static const int modes[] = {
      [TAG_CHECK_SYNC] = SYNC, [TAG_CHECK_ASYNC] = ASYNC, [TAG_CHECK_ASYMM] = SYNC | ASYNC};
  unsigned long all_but_0 = 0xfffe;
  if (os_refuses("prctl")) return false;
  return syscall(SYS_prctl, SET_TAGGED_ADDR_CTRL,
                 ADDR_ENABLE | modes[check] | all_but_0 << TAG_SHIFT, 0, 0, 0) == 0;
}
