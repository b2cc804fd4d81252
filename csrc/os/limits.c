/* Limits of the machine and the user (see limits.h). */
#include "os/limits.h"

#include "os/apart.h"
#include "os/figures.h"
#include "os/files.h"
#include "os/sandbox.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static void read_figure(const char *path, char *text, size_t capacity) {
  os_read_file(path, text, capacity);
}

static size_t told_by_files(void (*read)(void *figure)) {
  size_t figure = 0;
  os_apart(read, &figure);
  return figure;
}

static void read_max_map_count(void *found) {
  char figure[32];
  os_read_file("/proc/sys/vm/max_map_count", figure, sizeof figure);
  *(size_t *)found = figure_after(figure, "", 65530);
}

size_t os_max_map_count(void) {
  return told_by_files(read_max_map_count);
}

static void read_huge_page(void *found) {
  char enabled[64], size[32];
  os_read_file("/sys/kernel/mm/transparent_hugepage/enabled", enabled, sizeof enabled);
  if (!figure_huge_pages(enabled)) return;
  os_read_file("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", size, sizeof size);
  *(size_t *)found = figure_after(size, "", 0);
}

size_t os_huge_page(void) {
  return told_by_files(read_huge_page);
}

static bool ask_sysinfo(struct sysinfo *info) {
  if (!os_may_call()) return false;
  bool told = !syscall(SYS_sysinfo, info);
  os_called();
  return told;
}

size_t os_physical_memory(void) {
  struct sysinfo info;
  return ask_sysinfo(&info) ? (size_t)info.totalram * info.mem_unit : 0;
}

static size_t limit_of(int resource) {
  static _Atomic size_t known[RLIM_NLIMITS]; /* less one */
  struct rlimit limit;
  if (!os_may_call()) return known[resource] - 1;
  bool told = syscall(SYS_prlimit64, 0, resource, NULL, &limit) == 0;
  os_called();
  size_t most = told && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : SIZE_MAX;
  known[resource] = most + 1;
  return most;
}

/* RLIMIT_DATA counts private writable mappings, too (Linux 4.7). */
size_t os_address_space_limit(void) {
  size_t all = limit_of(RLIMIT_AS), data = limit_of(RLIMIT_DATA);
  return all < data ? all : data;
}

size_t os_file_size_limit(void) {
  return limit_of(RLIMIT_FSIZE);
}

RARE static void read_available_memory(void *found) {
  char text[2048];
  struct sysinfo info;
  size_t available = SIZE_MAX;
  if (ask_sysinfo(&info)) available = (size_t)(info.freeram + info.bufferram) * info.mem_unit;
  os_read_file("/proc/meminfo", text, sizeof text);
  size_t told = figure_available(text);
  if (told) available = told;
  os_read_file("/proc/self/cgroup", text, sizeof text);
  size_t allowance = figure_allowance(text, read_figure);
  *(size_t *)found = allowance < available ? allowance : available;
}

size_t os_available_memory(void) {
  if (os_is_sandboxed()) return SIZE_MAX;
  return told_by_files(read_available_memory);
}
