/* Reports (see report.h). */
#include "report.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 1024 };

void report_line(const char *line) {
  char buffer[LINE];
  struct text text = TEXT(buffer);
  text_string(&text, "patalloc: ");
  text_string(&text, line);
  size_t length = text.length < LINE - 2 ? text.length : LINE - 2;
  buffer[length] = '\n';
  os_write(STDERR_FILENO, buffer, length + 1);
}

static void say_block(struct text *text, uint32_t granule) {
  text_string(text, "a block of ");
  text_decimal(text, region.table[granule].size);
  text_string(text, " bytes at ");
  text_hex(text, block_address(granule), 1);
}

static void say_tags(struct text *text, uintptr_t pointer, unsigned memory) {
  text_string(text, "the pointer's tag is ");
  text_decimal(text, mte_tag_of(pointer));
  text_string(text, ", the memory's is ");
  text_decimal(text, memory);
}

/* What the records say of an address inside the region. */
static void say_why(struct text *text, struct patalloc_heap *heap, uintptr_t pointer) {
  uintptr_t address = mte_untag(pointer);
  uint32_t granule = heap_find(address);
  if (!granule) {
    text_string(text, "was never returned, or its memory has been released since");
    return;
  }
  uintptr_t start = block_address(granule);
  bool live = block_state(granule) == GRANULE_LIVE;
  if (!heap_owns(heap, granule)) {
    text_string(text, "belongs to another heap: ");
  } else if (address == start && live) {
    text_string(text, "is stale (");
    say_tags(text, pointer, region.table[granule].tag);
    text_string(text, "): now there is ");
  } else if (address == start) {
    text_string(text, "was freed already: ");
  } else if (address < start + region.table[granule].size) {
    text_string(text, "lies ");
    text_decimal(text, address - start);
    text_string(text, live ? " bytes inside " : " bytes inside what was ");
  } else {
    text_string(text, "lies past the end of ");
  }
  say_block(text, granule);
}

/* Where an address lies as seen from the block around it. */
static void say_where(struct text *text, uintptr_t address) {
  uint32_t granule = heap_find(address);
  if (!granule) return;
  uintptr_t start = block_address(granule), end = start + region.table[granule].size;
  uintptr_t distance = address < start ? start - address
                       : address < end ? address - start
                                       : address - end;
  text_string(text, "; that is ");
  text_decimal(text, distance);
  text_string(text, address < start ? " bytes before "
                    : address < end ? " bytes inside "
                                    : " bytes past the end of ");
  text_string(text, block_state(granule) == GRANULE_LIVE ? "" : "what was ");
  say_block(text, granule);
}

void report_tag_mismatch(const char *access, uintptr_t pointer) {
  char buffer[LINE];
  struct text text = TEXT(buffer);
  uintptr_t address = mte_untag(pointer);
  text_string(&text, "tag mismatch: ");
  text_string(&text, access);
  text_string(&text, " at ");
  text_hex(&text, pointer, 1);
  text_string(&text, ": ");
  say_tags(&text, pointer, mte_tag_at(address));
  say_where(&text, address);
  report_line(buffer);
}

void report_late_tag_mismatch(void) {
  report_line("tag mismatch: some access before this one; its address is not known");
}

void report_misuse(struct patalloc_heap *heap, const char *call, const void *pointer) {
  char buffer[LINE];
  struct text text = TEXT(buffer);
  text_string(&text, "invalid ");
  text_string(&text, call);
  text_string(&text, " of ");
  text_hex(&text, (uintptr_t)pointer, 1);
  text_string(&text, ", which ");
  say_why(&text, heap, (uintptr_t)pointer);
  report_line(buffer);
  stats_add(heap_stats(heap), STAT_ERRORS, 1);
  if (heap->options.on_error == ON_ERROR_ABORT) abort();
}
