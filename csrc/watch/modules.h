/* Modules: which files the code at given addresses comes from, so that call stacks can be told in
 * terms of those, later and elsewhere. */
#ifndef PATALLOC_MODULES_H
#define PATALLOC_MODULES_H

#include "watch/stack.h"

enum { MODULES_MOST = 48, MODULE_ID_MOST = 20 };

struct module {
  uintptr_t base;             /* where the file's start would be mapped */
  uintptr_t start, end;       /* of the mapping with the code */
  const char *path;           /* as in /proc/self/maps (proc(5)) */
  unsigned id_length;         /* 0: it has none */
  uint8_t id[MODULE_ID_MOST]; /* the build id (ld(1), --build-id) */
};

struct modules {
  unsigned count;
  struct module list[MODULES_MOST];
  size_t used; /* of the paths */
  char paths[1 << 13];
};

/* Finds those of all frames of these stacks; none where there is no /proc. Async-signal-safe. Must
 * not run twice at a time. */
void modules_find(struct modules *modules, const struct stack *stacks, unsigned count);

/* The one that the code is from; NULL for none. */
const struct module *modules_at(const struct modules *modules, uintptr_t pc);

#endif
