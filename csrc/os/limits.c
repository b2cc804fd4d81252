/* Limits of the machine and the user (see limits.h). */
#include "os/limits.h"

#include "os/figures.h"
#include "os/files.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static void read_figure(const char *path, char *text, size_t capacity) {
  os_read_file(path, text, capacity);
}

size_t os_max_map_count(void) {
  char figure[32];
  os_read_file("/proc/sys/vm/max_map_count", figure, sizeof figure);
  return figure_after(figure, "", 65530);
}

size_t os_huge_page(void) {
  char enabled[64], size[32];
  os_read_file("/sys/kernel/mm/transparent_hugepage/enabled", enabled, sizeof enabled);
  if (!figure_huge_pages(enabled)) return 0;
  os_read_file("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", size, sizeof size);
  return figure_after(size, "", 0);
}

size_t os_physical_memory(void) {
  struct sysinfo info;
  return syscall(SYS_sysinfo, &info) ? 0 : (size_t)info.totalram * info.mem_unit;
}

static size_t limit_of(int resource) {
  struct rlimit limit;
  bool told = syscall(SYS_prlimit64, 0, resource, NULL, &limit) == 0;
  return told && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : SIZE_MAX;
}

/* RLIMIT_DATA counts private writable mappings, too (Linux 4.7). */
size_t os_address_space_limit(void) {
  size_t all = limit_of(RLIMIT_AS), data = limit_of(RLIMIT_DATA);
  return all < data ? all : data;
}

size_t os_file_size_limit(void) {
  return limit_of(RLIMIT_FSIZE);
}

size_t os_available_memory(void) {
  char text[2048];
  struct sysinfo info;
  size_t available = SIZE_MAX;
  if (!syscall(SYS_sysinfo, &info))
    available = (size_t)(info.freeram + info.bufferram) * info.mem_unit;
  os_read_file("/proc/meminfo", text, sizeof text);
  size_t told = figure_available(text);
  if (told) available = told;
  os_read_file("/proc/self/cgroup", text, sizeof text);
  size_t allowance = figure_allowance(text, read_figure);
  return allowance < available ? allowance : available;
}
