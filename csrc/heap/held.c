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

static size_t let_go(void *pointer) {
  struct small_block block = {0};
  ledger_strike(pointer, &block);
  primary.free(pointer);
  return block.room;
}

void held_add(const struct small_block *block) {
  void *out = (void *)block->address;
  int i = 0;
  while (i < RINGS && block->room > rings[i].most) i++;
  used = true;
  if (i < RINGS) out = atomic_exchange(&slots[rings[i].first + next[i]++ % rings[i].slots], out);
  if (out) let_go(out);
}

size_t held_drain(void) {
  size_t bytes = 0;
  for (int i = 0; used && i < SLOTS; i++) {
    void *out = atomic_exchange(&slots[i], NULL);
    if (out) bytes += let_go(out);
  }
  return bytes;
}
