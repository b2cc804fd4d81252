/* Origins (see origin.h). An origin is a byte: whose it is, and the alignment that was asked for.
 */
#include "watch/origin.h"

#include "blocks/block.h"
#include "blocks/slot.h"
#include "watch/report.h"

enum { ORIGIN_BITS = 2 }; /* and above them log2 of the alignment */

static uint8_t origin_byte(enum origin origin, size_t alignment) {
  unsigned log = alignment ? 63u - (unsigned)__builtin_clzl(alignment) : 0;
  return (uint8_t)(origin | log << ORIGIN_BITS);
}

struct known {
  uint64_t size;
  uint8_t origin;
};

/* Of a live block, which is described. False where none is known there. */
static bool exchange(const void *pointer, uint8_t origin, struct known *known) {
  uintptr_t address = (uintptr_t)pointer;
  if (chunk_holds(address)) {
    if (!slot_is_live(chunk_slot_of(address), pointer)) return false;
    struct slot *slot = &slot_table[chunk_slot_of(address)];
    *known = (struct known){slot->size, slot->origin};
    slot->origin = origin;
    return true;
  }
  if (region_holds(pointer)) {
    uint32_t granule = granule_of(mte_untag(address));
    if (!region_known(granule) || block_state(granule) != GRANULE_LIVE) return false;
    known->size = region.table[granule].size;
    return block_pointer(granule) == pointer &&
           history_exchange_origin(granule, origin, &known->origin);
  }
  struct small_block block;
  if (!ledger_exchange_origin(pointer, origin, &block)) return false;
  *known = (struct known){block.size, block.origin};
  return true;
}

void origin_set(const void *pointer, enum origin origin, size_t alignment) {
  struct known known;
  exchange(pointer, origin_byte(origin, alignment), &known);
}

static void report(const struct watch *watch, const void *pointer, const struct giving *giving,
                   uint8_t origin) {
  static const char *const names[] = {"malloc", "operator new", "operator new[]"};
  struct small_block block;
  struct event event;
  bool small = !chunk_holds((uintptr_t)pointer) && ledger_find(pointer, &block);
  event_of_mismatch(&event, watch->options, giving->call, pointer, small ? &block : NULL);
  unsigned log = origin >> ORIGIN_BITS, from = origin & ((1 << ORIGIN_BITS) - 1);
  bool is_same = from == giving->origin; /* else the size goes with it */
  event.mismatch = (struct mismatch){
      .origin = names[from],
      .alignment = log ? (size_t)1 << log : 0,
      .told_alignment = giving->aligned,
      .is_sized = is_same && giving->sized && giving->size != event.size,
      .told_size = giving->size,
  };
  report_error(watch, &event);
}

void origin_check(const struct watch *watch, const void *pointer, const struct giving *giving) {
  struct known known;
  if (!exchange(pointer, ORIGIN_CHECKED, &known) || known.origin == ORIGIN_CHECKED) return;
  bool nothing = !giving->size && known.size == 1; /* was requested where that gives a byte */
  bool resized = giving->sized && giving->size != known.size && !nothing;
  if (resized || known.origin != origin_byte(giving->origin, giving->aligned))
    report(watch, pointer, giving, known.origin);
}

void origin_report(const struct watch *watch, const char *call, const void *pointer,
                   uint8_t origin) {
  report(watch, pointer, &(struct giving){.call = call}, origin);
}
