/* Figures in the kernel's texts (see figures.h). */
#include "os/figures.h"

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

size_t figure_after(const char *text, const char *key, size_t otherwise) {
  const char *digit = text_after(text, key);
  if (!digit) return otherwise;
  while (*digit == ' ') digit++;
  if (!is_digit(*digit)) return otherwise;
  size_t value = 0;
  for (; is_digit(*digit); digit++)
    if (__builtin_mul_overflow(value, (size_t)10, &value) ||
        __builtin_add_overflow(value, (size_t)(*digit - '0'), &value))
      return otherwise;
  return value;
}

size_t figure_available(const char *meminfo) {
  return figure_after(meminfo, "MemAvailable:", 0) * 1024;
}

struct cgroup_files {
  const char *line, *mount, *limit, *usage;
};

static size_t figure_under(const char *directory, size_t length, const char *file, size_t otherwise,
                           figure_read *read) {
  char path[512], figure[32];
  struct text text = TEXT(path);
  text_span(&text, directory, length);
  text_string(&text, file);
  if (text.length >= sizeof path) return otherwise;
  read(path, figure, sizeof figure);
  return figure_after(figure, "", otherwise); /* "max" is no number */
}

/* What one control group and all above it still allow. */
static size_t allowance_of(const char *cgroup, const struct cgroup_files *files,
                           figure_read *read) {
  char group[512];
  struct text text = TEXT(group);
  const char *line = text_after(cgroup, files->line);
  size_t allowance = SIZE_MAX, mount = text_length(files->mount);
  if (!line) return allowance;
  text_string(&text, files->mount);
  text_span(&text, line, text_until(line, text_length(line), '\n'));
  if (text.length >= sizeof group) return allowance;
  for (size_t end = text.length; end >= mount; end--) {
    if (end != text.length && end != mount && group[end] != '/') continue;
    size_t limit = figure_under(group, end, files->limit, SIZE_MAX, read);
    size_t usage = figure_under(group, end, files->usage, 0, read);
    size_t left = limit > usage ? limit - usage : 0;
    if (left < allowance) allowance = left;
  }
  return allowance;
}

size_t figure_allowance(const char *cgroup, figure_read *read) {
  static const struct cgroup_files versions[] = {
      {"0::", "/sys/fs/cgroup", "/memory.max", "/memory.current"},
      {":memory:", "/sys/fs/cgroup/memory", "/memory.limit_in_bytes", "/memory.usage_in_bytes"},
  };
  size_t least = SIZE_MAX;
  for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
    size_t allowance = allowance_of(cgroup, &versions[i], read);
    if (allowance < least) least = allowance;
  }
  return least;
}
