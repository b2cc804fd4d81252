/* What is the program's own (see program.h). */
#include "watch/program.h"

#include "base/text.h"
#include "watch/recover.h"
#include "watch/step.h"

#include <dlfcn.h>
#include <link.h>

#ifdef DLFO_STRUCT_HAS_EH_DBASE

static bool is_in_object(const void *address) {
  struct dl_find_object found;
  return !_dl_find_object((void *)address, &found);
}

/* Whether an address lies in that object. */
static bool is_in(const struct link_map *map, uintptr_t address) {
  struct dl_find_object found;
  return !_dl_find_object((void *)address, &found) && found.dlfo_link_map == map;
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

#else

static bool is_in(const struct link_map *map, uintptr_t address) {
  return (uintptr_t)map->l_ld > address && address >= map->l_addr; /* about */
}

/* The loader's lock would be taken for each, in free. */
bool program_owns(const void *address, bool walks) {
  (void)address, (void)walks;
  return false;
}

#endif

/* Objects are found as debuggers find them (link.h), without the loader's lock: while another
 * thread has one loaded or unloaded that may fault. */

/* Relocations of variables, as opposed to those of the table through which calls go: one that was
 * free's address at first may be another function's by now. */
#ifdef __x86_64__
#define VARIABLE R_X86_64_64
#elif defined __aarch64__
#define VARIABLE R_AARCH64_ABS64
#else
#define VARIABLE 0
#endif

struct object {
  const struct link_map *map;
  const Elf64_Sym *symbols;
  const char *names;
  struct {
    const Elf64_Rela *start;
    size_t size;
  } relocations[2]; /* of functions that are called; others */
};

/* Where glibc has not added the object's address, it is to be. */
static const void *pointer_of(const struct link_map *map, const ElfW(Dyn) * entry) {
  uintptr_t value = entry->d_un.d_ptr;
  return (const void *)(value < map->l_addr ? value + map->l_addr : value);
}

static struct object object_of(const struct link_map *map) {
  struct object object = {.map = map};
  for (const ElfW(Dyn) *entry = map->l_ld; entry && entry->d_tag != DT_NULL; entry++) {
    if (entry->d_tag == DT_SYMTAB) object.symbols = pointer_of(map, entry);
    if (entry->d_tag == DT_STRTAB) object.names = pointer_of(map, entry);
    if (entry->d_tag == DT_JMPREL) object.relocations[0].start = pointer_of(map, entry);
    if (entry->d_tag == DT_PLTRELSZ) object.relocations[0].size = entry->d_un.d_val;
    if (entry->d_tag == DT_RELA) object.relocations[1].start = pointer_of(map, entry);
    if (entry->d_tag == DT_RELASZ) object.relocations[1].size = entry->d_un.d_val;
  }
  return object;
}

/* A call that was not made yet leads back into the object, to be looked up. */
static bool leads_elsewhere(const struct object *object, const Elf64_Rela *relocation) {
  if (VARIABLE && ELF64_R_TYPE(relocation->r_info) == VARIABLE) return false;
  const char *name = object->names + object->symbols[ELF64_R_SYM(relocation->r_info)].st_name;
  if (!text_is(name, "free", 4)) return false;
  uintptr_t target = *(const uintptr_t *)(object->map->l_addr + relocation->r_offset);
  return target && !recover_is_own(target) && !is_in(object->map, target);
}

static bool frees_past(const struct link_map *map) {
  struct object object = object_of(map);
  if (!object.symbols || !object.names) return false;
  for (int i = 0; i < 2; i++) {
    size_t count = object.relocations[i].size / sizeof(Elf64_Rela);
    for (size_t at = 0; object.relocations[i].start && at < count; at++) {
      const Elf64_Rela *relocation = &object.relocations[i].start[at];
      if (ELF64_R_SYM(relocation->r_info) && leads_elsewhere(&object, relocation)) return true;
    }
  }
  return false;
}

static void search_objects(void *found) {
  for (const struct link_map *map = _r_debug.r_map; map && !*(bool *)found; map = map->l_next)
    *(bool *)found = frees_past(map);
}

bool program_frees_past(void) {
  bool found = false;
  return !recover_try(search_objects, &found) || found;
}
