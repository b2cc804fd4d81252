/* Held blocks (see held.h): rings for blocks of up to so many bytes, each of a mebibyte at most. */
#include "heap/held.h"

#include "heap/primary.h"

#include <stdatomic.h>
#include <stddef.h>

static const struct ring {
  uint32_t most, first, slots; /* bytes; in `slots` below */
} rings[] = {{1 << 10, 0, 1024}, {1 << 14, 1024, 64}, {1 << 17, 1088, 8}};
enum { RINGS = sizeof rings / sizeof *rings, SLOTS = 1096 };

static void *_Atomic slots[SLOTS];
static _Atomic uint32_t next[RINGS];
static _Atomic bool used;

static void let_go(void *pointer) {
  struct small_block block;
  ledger_strike(pointer, &block);
  primary.free(pointer);
}

void held_add(const struct small_block *block) {
  void *pointer = (void *)block->address;
  int i = 0;
  while (i < RINGS && block->room > rings[i].most) i++;
  if (i == RINGS) return let_go(pointer);
  used = true;
  void *out = atomic_exchange(&slots[rings[i].first + next[i]++ % rings[i].slots], pointer);
  if (out) let_go(out);
}

void held_drain(void) {
  for (int i = 0; used && i < SLOTS; i++) {
    void *out = atomic_exchange(&slots[i], NULL);
    if (out) let_go(out);
  }
}
