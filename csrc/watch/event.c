/* Events (see event.h). Records are read without locks, as the thread that holds one may be the one
 * that faulted. */
#include "watch/event.h"

#include "blocks/arena.h"
#include "blocks/slot.h"

#include <string.h>

/* How far from a block an address is still taken for meant for it. */
enum { FAR = 1 << 24 };

/* The block with the highest address up to this one, however large it is; 0 for none. */
static uint32_t block_up_to(uintptr_t address) {
  uint32_t granule = granule_of(address);
  while (granule && region_known(granule) &&
         !(block_exists(granule) && block_address(granule) <= address))
    granule--;
  return region_known(granule) ? granule : 0;
}

/* The first block after this address, if it is not far. */
static uint32_t block_after(uintptr_t address) {
  for (uint32_t granule = granule_of(address);
       region_known(granule) && granule_address(granule) < address + FAR; granule++)
    if (block_exists(granule) && block_address(granule) > address) return granule;
  return 0;
}

static uint64_t distance_after(uint32_t granule, uintptr_t address) {
  return address - (block_address(granule) + region.table[granule].size) + 1;
}

/* Where the address lies, from the block. */
static void set_place(struct event *event, uintptr_t address) {
  uintptr_t start = event->block, end = start + event->size;
  event->place = address < start ? PLACE_BEFORE : address < end ? PLACE_INSIDE : PLACE_AFTER;
  event->distance = event->place == PLACE_BEFORE   ? start - address
                    : event->place == PLACE_INSIDE ? address - start
                                                   : address - end + 1;
}

static void set_block(struct event *event, uint32_t granule) {
  enum granule_state state = block_state(granule);
  event->block = block_address(granule);
  event->size = region.table[granule].size;
  event->live = state == GRANULE_LIVE || state == GRANULE_BUSY;
  history_get(granule, &event->history);
  set_place(event, mte_untag(event->address));
}

/* A block whose run is gone, of which only history tells. */
static void set_released(struct event *event, uint32_t granule) {
  history_get(granule, &event->history);
  event->block = granule_address(granule) + event->history.offset;
  event->size = event->history.size;
  event->released = true;
  event->place = PLACE_INSIDE;
  event->distance = mte_untag(event->address) - event->block;
}

static bool slot_is_known(uint32_t number) {
  return slot_known(number) && slot_table[number].state != SLOT_NONE;
}

/* The block of the slot in which the address is: a slot's guard is behind its block. */
static void set_slot(struct event *event, uint32_t number) {
  if (!slot_is_known(number)) return;
  const struct slot *slot = &slot_table[number];
  event->block = slot_block(number);
  event->size = slot->size;
  event->live = slot->state == SLOT_LIVE;
  if (slot->allocated.thread)
    event->history =
        (struct history){.size = slot->size, .allocated = slot->allocated, .freed = slot->freed};
  set_place(event, event->address);
}

/* Behind a slot's block its guard lies, and then the next slot, whose block that is before. If the
 * first was freed, and the second is live and about as near, it is more likely to be meant. */
static void set_near_slot(struct event *event) {
  uint32_t number = chunk_slot_of(event->address);
  set_slot(event, number);
  bool behind = event->place == PLACE_AFTER || event->place == PLACE_UNKNOWN;
  if (!behind || !slot_is_known(number + 1)) return;
  uint64_t before = slot_block(number + 1) - event->address;
  bool likelier = !event->live && slot_table[number + 1].state == SLOT_LIVE;
  uint64_t near = likelier ? 2 * event->distance : event->distance;
  if (event->place == PLACE_UNKNOWN || before < near) set_slot(event, number + 1);
}

/* The block around the address, one that was there, or the nearest one. */
static void set_nearest(struct event *event) {
  if (chunk_holds(event->address)) return set_near_slot(event);
  uintptr_t address = mte_untag(event->address);
  uint32_t before = block_up_to(address), after = block_after(address);
  if (before && address < block_address(before) + region.table[before].size)
    return set_block(event, before);
  uint32_t released = history_find(address);
  if (released) return set_released(event, released);
  if (before && distance_after(before, address) > FAR) before = 0;
  if (before && after && block_address(after) - address < distance_after(before, address))
    before = 0;
  if (before || after) set_block(event, before ? before : after);
}

/* Who runs over an end comes by what is next to it. */
static enum event_kind kind_of_access(const struct event *event) {
  enum { NEXT_TO = 1 << 14 };
  bool outside = event->place != PLACE_INSIDE;
  if (event->place == PLACE_UNKNOWN || (outside && event->distance > NEXT_TO))
    return EVENT_WILD_ACCESS;
  if (!event->live) return EVENT_USE_AFTER_FREE;
  if (event->place != PLACE_INSIDE)
    return event->place == PLACE_BEFORE ? EVENT_UNDERFLOW : EVENT_OVERFLOW;
  bool jumps = event->access && text_is("execute", event->access, text_length(event->access));
  return jumps ? EVENT_WILD_JUMP : EVENT_WILD_ACCESS;
}

static void clear_event(struct event *event) {
  memset(event, 0, offsetof(struct event, stack));
  event->tags[0] = event->tags[1] = -1;
}

void event_of_fault(struct event *event, int signal, const char *access, uintptr_t address) {
  clear_event(event);
  event->signal = signal;
  event->access = access;
  event->address = address;
  if (address) set_nearest(event);
  event->kind = kind_of_access(event);
}

void event_of_leak(struct event *event, uintptr_t block, uint64_t size, uint32_t stack) {
  clear_event(event);
  event->stack.count = 0;
  event->address = event->block = block;
  event->size = size;
  event->live = true;
  event->place = PLACE_INSIDE;
  if (stack) event->history = (struct history){.size = size, .allocated = {.stack = stack}};
}

/* Of a buffer that begins in a live block what is behind the block is the reason; of what is done
 * in part only if that ends at the guard. */
bool event_of_refusal(struct event *event, const char *call, const char *access, uintptr_t start,
                      size_t size, size_t done) {
  event_of_fault(event, 0, access, start);
  bool within = event->live && event->place == PLACE_INSIDE;
  uintptr_t end = event->block + event->size, from = mte_untag(start);
  if (within ? from + size <= end || (done && from + done != page_up(end)) : done > 0) return false;
  if (within) event_of_fault(event, 0, access, end);
  event->call = call;
  event->refused = true;
  event->begun = done;
  return true;
}

void event_set_tags(struct event *event) {
  event->kind = EVENT_TAG_MISMATCH;
  if (!event->address) return;
  event->tags[0] = (int)mte_tag_of(event->address);
  event->tags[1] = (int)mte_tag_at(mte_untag(event->address));
}

static enum event_kind kind_of_freed(const char *call) {
  return text_is("free", call, text_length(call)) ? EVENT_DOUBLE_FREE : EVENT_USE_AFTER_FREE;
}

/* A run that is being released has no arena. */
static bool is_foreign(uint32_t granule, const struct options *options) {
  const struct arena *arena = block_arena(granule);
  return arena && arena->options != options;
}

void event_of_misuse(struct event *event, const struct options *options, const char *call,
                     const void *pointer) {
  clear_event(event);
  event->call = call;
  event->address = (uintptr_t)pointer;
  bool in_slot = chunk_holds(event->address);
  if (in_slot) set_slot(event, chunk_slot_of(event->address));
  uint32_t granule = in_slot ? 0 : block_find((uintptr_t)pointer);
  uint32_t released = in_slot ? 0 : granule ? 0 : history_find(mte_untag((uintptr_t)pointer));
  if (granule) set_block(event, granule);
  if (released) set_released(event, released);
  event->foreign = granule && is_foreign(granule, options);
  bool at_start = event->place == PLACE_INSIDE && !event->distance;
  event->kind = !at_start || event->live                   ? EVENT_INVALID_FREE
                : text_is("free", call, text_length(call)) ? EVENT_DOUBLE_FREE
                                                           : EVENT_USE_AFTER_FREE;
  if (at_start && event->live && !event->foreign && granule) {
    event->tags[0] = (int)mte_tag_of(event->address);
    event->tags[1] = region.table[granule].tag;
  }
}

/* `bytes` are what is there, and may be elsewhere by now. */
static void set_overwritten(struct event *event, const char *call, uintptr_t from, uintptr_t end,
                            const void *bytes) {
  event->call = call;
  event->access = "write";
  event->address = from;
  event->found = end - from < sizeof event->bytes ? (unsigned)(end - from) : sizeof event->bytes;
  memcpy(event->bytes, bytes, event->found);
}

void event_of_overwrite(struct event *event, const char *call, uint32_t granule, uintptr_t from,
                        uintptr_t end) {
  clear_event(event);
  set_overwritten(event, call, from, end, (const void *)from);
  set_block(event, granule);
  event->kind = kind_of_access(event);
}

void event_of_slot_overwrite(struct event *event, const char *call, uint32_t slot, uintptr_t from,
                             uintptr_t end) {
  clear_event(event);
  set_overwritten(event, call, from, end, (const void *)from);
  set_slot(event, slot);
  event->live = true;
  event->kind = kind_of_access(event);
}

void event_of_slot_written(struct event *event, const char *call,
                           const struct slot_written *written) {
  clear_event(event);
  set_overwritten(event, call, written->part.from, written->part.end, written->bytes);
  set_slot(event, written->slot);
  event->kind = EVENT_USE_AFTER_FREE;
}

static void set_small(struct event *event, const struct small_block *block) {
  event->block = block->address;
  event->size = block->size;
  if (block->stack || block->note)
    event->history = (struct history){.size = block->size,
                                      .allocated = {.stack = block->stack, .note = block->note}};
}

void event_of_small(struct event *event, const struct small_block *block, uintptr_t address) {
  clear_event(event);
  event->address = address;
  set_small(event, block);
  event->live = !block->held;
  set_place(event, address);
}

void event_of_small_overwrite(struct event *event, const char *call,
                              const struct small_block *block, uintptr_t from, uintptr_t end) {
  clear_event(event);
  set_overwritten(event, call, from, end, (const void *)from);
  set_small(event, block);
  event->kind = EVENT_OVERFLOW;
  event->live = true;
  event->place = PLACE_AFTER;
  event->distance = from - (event->block + event->size) + 1;
}

void event_of_small_written(struct event *event, const char *call, const struct small_block *block,
                            uintptr_t from, uintptr_t end) {
  clear_event(event);
  set_overwritten(event, call, from, end, (const void *)from);
  set_small(event, block);
  event->kind = EVENT_USE_AFTER_FREE;
  event->place = PLACE_INSIDE;
  event->distance = from - event->block;
}

void event_of_freed_small(struct event *event, const char *call, const struct small_block *block) {
  clear_event(event);
  event->call = call;
  event->address = block->address;
  set_small(event, block);
  event->kind = kind_of_freed(call);
  event->place = PLACE_INSIDE;
}

void event_of_mismatch(struct event *event, const struct options *options, const char *call,
                       const void *pointer, const struct small_block *block) {
  if (block)
    event_of_freed_small(event, call, block);
  else
    event_of_misuse(event, options, call, pointer);
  event->kind = EVENT_MISMATCH;
  event->live = true;
}
