/* Surroundings (see surroundings.h). */
#include "watch/surroundings.h"

#include "base/text.h"
#include "os/files.h"

#include <string.h>

struct search {
  struct surroundings *found;
  uintptr_t address;
};

static void copy(char *to, size_t capacity, const char *from, size_t length) {
  if (length > capacity - 1) length = capacity - 1;
  memcpy(to, from, length);
  to[length] = 0;
}

/* start-end permissions offset device inode path */
static void read_mapping(void *context, const char *line) {
  const struct search *search = context;
  struct surroundings *found = search->found;
  uintptr_t start = text_take_hex(&line);
  if (*line++ != '-') return;
  uintptr_t end = text_take_hex(&line);
  bool below = end <= search->address, above = start > search->address;
  if (!*line || (above && found->above.end)) return;
  struct mapping *mapping = below ? &found->below : above ? &found->above : &found->at;
  const char *permissions = ++line;
  for (int i = 0; i < 4; i++) { /* permissions, offset, device and inode */
    line += text_until(line, text_length(line), ' ');
    while (*line == ' ') line++;
  }
  *mapping = (struct mapping){.start = start, .end = end};
  copy(mapping->permissions, sizeof mapping->permissions, permissions, 4);
  copy(mapping->name, sizeof mapping->name, line, text_length(line));
}

bool surroundings_find(struct surroundings *found, uintptr_t address) {
  static char line[1 << 13];
  struct search search = {found, address};
  *found = (struct surroundings){0};
  bool done = os_each_line("/proc/self/maps", line, sizeof line, read_mapping, &search);
  return done && (found->below.end || found->above.end);
}
