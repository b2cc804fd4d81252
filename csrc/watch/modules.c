/* Modules (see modules.h), from /proc/self/maps: dl_iterate_phdr(3) takes a lock. */
#include "watch/modules.h"

#include "os/files.h"
#include "watch/recover.h"

#include <elf.h>
#include <string.h>

struct mappings {
  struct modules *modules;
  const struct stack *stacks;
  unsigned count;
  uintptr_t base, base_end; /* of the last mapping from a file's start */
  char base_path[4096];
};

static bool is_wanted(const struct mappings *search, uintptr_t start, uintptr_t end) {
  for (unsigned i = 0; i < search->count; i++)
    for (unsigned at = 0; at < search->stacks[i].count; at++)
      if (search->stacks[i].frames[at] - start < end - start) return true;
  return false;
}

/* The build id is a note (elf(5)) in a segment that is mapped with the file's start. */

struct image {
  struct module *module;
  uintptr_t end;
};

static void read_notes(const struct image *image, uintptr_t at, size_t size) {
  struct module *module = image->module;
  uintptr_t end = at + size;
  if (at < module->base || end > image->end || end < at) return;
  while (end - at > sizeof(Elf64_Nhdr)) {
    const Elf64_Nhdr *note = (const Elf64_Nhdr *)at;
    uintptr_t name = at + sizeof *note, id = name + ((note->n_namesz + 3) & ~3u);
    at = id + ((note->n_descsz + 3) & ~3u);
    if (at > end) return;
    if (note->n_type != NT_GNU_BUILD_ID || !text_is("GNU", (const char *)name, 3)) continue;
    module->id_length = note->n_descsz < MODULE_ID_MOST ? note->n_descsz : MODULE_ID_MOST;
    memcpy(module->id, (const void *)id, module->id_length);
  }
}

static void read_id(void *context) {
  const struct image *image = context;
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)image->module->base;
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64) return;
  const Elf64_Phdr *segments = (const Elf64_Phdr *)((const char *)header + header->e_phoff);
  if ((uintptr_t)(segments + header->e_phnum) > image->end) return;
  for (unsigned i = 0; i < header->e_phnum; i++)
    if (segments[i].p_type == PT_NOTE)
      read_notes(image, image->module->base + segments[i].p_offset, segments[i].p_filesz);
}

static const char *copy_path(struct modules *modules, const char *path) {
  size_t size = text_length(path) + 1;
  if (modules->used + size > sizeof modules->paths) return "";
  char *copied = &modules->paths[modules->used];
  memcpy(copied, path, size);
  modules->used += size;
  return copied;
}

static void add_module(struct mappings *search, uintptr_t start, uintptr_t end, uintptr_t offset,
                       const char *path) {
  struct modules *modules = search->modules;
  if (modules->count == MODULES_MOST) return;
  struct module *module = &modules->list[modules->count++];
  bool known = text_is(path, search->base_path, text_length(search->base_path));
  *module = (struct module){start - offset, start, end, copy_path(modules, path), 0, {0}};
  if (!known) return;
  module->base = search->base;
  recover_try(read_id, &(struct image){module, search->base_end});
}

/* start-end permissions offset device inode path; what is no file has no path. */
static void read_mapping(void *context, const char *line) {
  struct mappings *search = context;
  uintptr_t start = text_take_hex(&line);
  if (*line++ != '-') return;
  uintptr_t end = text_take_hex(&line);
  const char *permissions = *line ? ++line : line;
  line += text_until(line, text_length(line), ' ');
  line += *line != 0;
  uintptr_t offset = text_take_hex(&line);
  const char *path = line + text_until(line, text_length(line), '/');
  if (!*path) path = line + text_until(line, text_length(line), '[');
  if (!*path) return;
  if (!offset && *permissions == 'r' && text_length(path) < sizeof search->base_path) {
    search->base = start;
    search->base_end = end;
    memcpy(search->base_path, path, text_length(path) + 1);
  }
  if (is_wanted(search, start, end)) add_module(search, start, end, offset, path);
}

void modules_find(struct modules *modules, const struct stack *stacks, unsigned count) {
  static struct mappings search;
  static char line[1 << 13];
  modules->count = 0;
  modules->used = 0;
  search = (struct mappings){.modules = modules, .stacks = stacks, .count = count};
  os_each_line("/proc/self/maps", line, sizeof line, read_mapping, &search);
}

const struct module *modules_at(const struct modules *modules, uintptr_t pc) {
  for (unsigned i = 0; i < modules->count; i++)
    if (pc - modules->list[i].start < modules->list[i].end - modules->list[i].start)
      return &modules->list[i];
  return NULL;
}
