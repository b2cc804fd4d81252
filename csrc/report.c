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

/* What the records say of an address inside the region. */
static void say_why(struct text *text, struct patalloc_heap *heap, uintptr_t address) {
  uint32_t granule = heap_find(address);
  if (!granule) {
    text_string(text, "was never returned, or its memory has been released since");
    return;
  }
  uintptr_t start = block_address(granule);
  bool live = block_state(granule) == GRANULE_LIVE;
  if (!heap_owns(heap, granule)) {
    text_string(text, "belongs to another heap: ");
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
