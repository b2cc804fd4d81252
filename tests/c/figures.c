/* What is read out of the kernel's texts about limits, from texts that are given here. Linked with
 * the core. */
#include "os/figures.h"
#include "check.h"

patalloc_heap *heap; /* as check.h has it */

static const char *const files[][2] = {
    {"/sys/fs/cgroup/a/b/memory.max", "max\n"},
    {"/sys/fs/cgroup/a/b/memory.current", "100\n"},
    {"/sys/fs/cgroup/a/memory.max", "5000\n"},
    {"/sys/fs/cgroup/a/memory.current", "1500\n"},
    {"/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "700\n"},
    {"/sys/fs/cgroup/memory/c/memory.usage_in_bytes", "800\n"},
    {"/sys/fs/cgroup/memory/d/memory.limit_in_bytes", "9223372036854771712\n"},
    {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "9000\n"},
    {"/sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"},
};

static void read_file(const char *path, char *text, size_t capacity) {
  *text = 0;
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    if (!strcmp(path, files[i][0])) snprintf(text, capacity, "%s", files[i][1]);
}

static void check_numbers(void) {
  CHECK(figure_after("65530\n", "", 7) == 65530);
  CHECK(figure_after("", "", 7) == 7);
  CHECK(figure_after("max\n", "", 7) == 7);
  CHECK(figure_after("A: 1\nB:   22 kB\n", "B:", 7) == 22);
  CHECK(figure_after("A: 1\n", "B:", 7) == 7);
  CHECK(figure_after("18446744073709551615", "", 7) == SIZE_MAX);
  CHECK(figure_after("18446744073709551616", "", 7) == 7);
}

static void check_meminfo(void) {
  CHECK(figure_available("MemTotal: 10 kB\nMemFree: 2 kB\nMemAvailable:    3 kB\n") == 3072);
  CHECK(figure_available("MemTotal: 10 kB\n") == 0);
  CHECK(figure_available("") == 0);
}

static void check_cgroups(void) {
  CHECK(figure_allowance("", read_file) == SIZE_MAX);
  CHECK(figure_allowance("0::/a/b\n", read_file) == 3500); /* the group above has the limit */
  CHECK(figure_allowance("0::/\n", read_file) == SIZE_MAX);
  CHECK(figure_allowance("5:memory:/c\n", read_file) == 0);
  CHECK(figure_allowance("5:memory:/d\n4:cpu:/x\n", read_file) == 8999);
  CHECK(figure_allowance("4:cpu:/a\n5:memory:/none\n0::/a\n", read_file) == 3500);
  char long_one[1024] = "0::/";
  memset(long_one + 4, 'x', sizeof long_one - 6);
  CHECK(figure_allowance(long_one, read_file) == SIZE_MAX);
}

static void check_huge_pages(void) {
  CHECK(figure_huge_pages("always [madvise] never\n"));
  CHECK(figure_huge_pages("[always] madvise never\n"));
  CHECK(!figure_huge_pages("always madvise [never]\n"));
  CHECK(!figure_huge_pages(""));
}

int main(void) {
  check_numbers();
  check_meminfo();
  check_cgroups();
  check_huge_pages();
  return 0;
}
