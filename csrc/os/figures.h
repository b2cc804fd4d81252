/* Figures in the texts by which the kernel tells of limits: pure parsing. Async-signal-safe. */
#ifndef PATALLOC_FIGURES_H
#define PATALLOC_FIGURES_H

#include "base/text.h"

#include <stddef.h>

/* The decimal number after `key` and spaces (at the text's start, for an empty key); `otherwise`
 * where there is none, or one too large. */
USUAL size_t figure_after(const char *text, const char *key, size_t otherwise);

/* MemAvailable of /proc/meminfo (proc(5)), in bytes; 0 where it does not tell. */
size_t figure_available(const char *meminfo);

/* What the control groups still allow of which /proc/self/cgroup says that the process is a member,
 * with all groups above them (cgroups(7), admin-guide/cgroup-v2.rst): bytes, SIZE_MAX for no limit.
 * `read` gives the text of a file, NUL-ended, and empty where there is none. */
typedef void figure_read(const char *path, char *text, size_t capacity);
size_t figure_allowance(const char *cgroup, figure_read *read);

/* Whether huge pages are to be had for the asking, by /sys/kernel/mm/transparent_hugepage/enabled:
 * not where the setting is "never" (admin-guide/mm/transhuge.rst). */
static inline bool figure_huge_pages(const char *enabled) {
  return *enabled && !text_after(enabled, "[never]");
}

#endif
