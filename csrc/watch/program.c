/* What is the program's own (see program.h). */
#include "watch/program.h"

#include "watch/recover.h"
#include "watch/step.h"

#include <dlfcn.h>
#include <link.h>

#ifdef DLFO_STRUCT_HAS_EH_DBASE

static bool is_in_object(const void *address) {
  struct dl_find_object found;
  return !_dl_find_object((void *)address, &found);
}

struct search {
  uintptr_t address;
  struct frame frame;
  bool found;
};

/* Up to where frames are known to follow each other: a coroutine's stack may be a block, and a
 * function may go from one stack to another. */
static void search_stack(void *context) {
  enum { FRAMES_MOST = 1024, FRAME_MOST = 1 << 20 };
  struct search *search = context;
  const uintptr_t *slot;
  bool goes_on = search->address >= search->frame.sp;
  for (int i = 0; i < FRAMES_MOST && goes_on && !search->found; i++) {
    uintptr_t sp = search->frame.sp;
    goes_on =
        step_up(&search->frame, &slot) && search->frame.place && search->frame.sp - sp < FRAME_MOST;
    search->found = goes_on && search->address < search->frame.sp;
  }
}

__attribute__((noinline)) bool program_owns(const void *address, bool walks) {
  struct search search = {.address = (uintptr_t)address, .frame = step_here()};
  if (is_in_object(address)) return true;
  if (walks) recover_try(search_stack, &search);
  return search.found;
}

#else /* the loader's lock would be taken for each, in free */

bool program_owns(const void *address, bool walks) {
  (void)address, (void)walks;
  return false;
}

#endif
