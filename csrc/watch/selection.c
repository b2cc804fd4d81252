/* Selections (see selection.h). */
#include "watch/selection.h"

#include "os/destination.h"
#include "os/memory.h"

#include <errno.h>
#include <string.h>

static const char magic[8] = "patsel2\n";

static size_t size_of(const struct selection *selection) {
  return sizeof *selection + selection->count * sizeof(struct part);
}

static bool is_sound(const struct selection *read, size_t size) {
  if (size < sizeof *read || memcmp(read->magic, magic, sizeof magic)) return false;
  if (read->count != (size - sizeof *read) / sizeof(struct part)) return false;
  for (size_t i = 0; i < read->count; i++) {
    const struct part *before = i ? &read->parts[i - 1] : &(struct part){0};
    const struct part *part = &read->parts[i];
    if (part->pattern_size > sizeof(uint64_t) && part->pattern_size != PART_STALE) return false;
    if (before->stack > part->stack || (before->stack == part->stack && before->last > part->last))
      return false;
  }
  return true;
}

static bool copy(int descriptor, void *copied) {
  size_t size = 0;
  struct selection *read = os_copy_file(descriptor, &size);
  if (read && is_sound(read, size)) return *(struct selection **)copied = read, true;
  if (read) os_unmap(read, page_up(size));
  return errno = EINVAL, false;
}

const struct selection *selection_read(const char *path) {
  struct os_identity identity;
  struct selection *copied;
  destination_identify(path, &identity);
  return destination_visit(path, &identity, OPEN_READ, copy, &copied) ? copied : NULL;
}

void selection_drop(const struct selection *selection) {
  if (selection) os_unmap((void *)(uintptr_t)selection, page_up(size_of(selection)));
}

/* The first part of the stack that does not end before the number. */
static size_t first_part(const struct selection *selection, uint64_t stack, uint64_t number) {
  size_t low = 0, high = selection->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const struct part *part = &selection->parts[middle];
    if (part->stack < stack || (part->stack == stack && part->last < number))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static struct choice choose(const struct selection *selection, uint64_t stack, uint64_t number) {
  size_t first = first_part(selection, stack, number), end = first;
  const struct part *parts = selection->parts;
  while (end < selection->count && parts[end].stack == stack && parts[end].first <= number) end++;
  return (struct choice){parts + first, end - first};
}

struct choice selection_find(const struct selection *selection, uint64_t stack, uint64_t number) {
  struct choice choice = choose(selection, stack, number);
  return choice.count ? choice : choose(selection, 0, 1); /* that of any stack */
}
