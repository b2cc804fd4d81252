/* Which pages were written (see pagemap.h). */
#include "os/pagemap.h"

#include "os/apart.h"
#include "os/call.h"
#include "os/files.h"

#include <fcntl.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ioctl(PAGEMAP_SCAN), Linux 6.7: Documentation/admin-guide/mm/pagemap.rst */
struct page_region {
  __u64 start, end, categories;
};
struct pagemap_scan {
  __u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
  __u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct pagemap_scan)
#define CATEGORY_FILE      (1u << 2)
#define CATEGORY_PRESENT   (1u << 3)
#define CATEGORY_SWAPPED   (1u << 4)
#define CATEGORY_PFNZERO   (1u << 5)
#define CATEGORY_HUGE      (1u << 6)

/* Pages that are in none of `out`, in all of `in`, and in any of `any`. */
struct categories {
  __u64 out, in, any;
};

static bool scan_for(struct categories wanted, int pagemap, uintptr_t address, uintptr_t end,
                     os_range_function *each, void *context) {
  struct page_region regions[64] = {0}; /* Valgrind does not know who writes there */
  while (address < end) {
    struct pagemap_scan scan = {
        .size = sizeof scan,
        .start = address,
        .end = end,
        .vec = (uintptr_t)regions,
        .vec_len = sizeof regions / sizeof *regions,
        .category_inverted = wanted.out,
        .category_mask = wanted.out | wanted.in,
        .category_anyof_mask = wanted.any,
        .return_mask = wanted.any,
    };
    long found = os_refuses("ioctl") ? -1 : syscall(SYS_ioctl, pagemap, PAGEMAP_SCAN_IOCTL, &scan);
    if (found < 0) return false;
    for (long i = 0; i < found; i++) each(context, regions[i].start, regions[i].end);
    address = scan.walk_end;
  }
  return true;
}

static bool dirty_by_scan(int pagemap, uintptr_t address, uintptr_t end, os_range_function *each,
                          void *context) {
  struct categories dirty = {.out = CATEGORY_FILE | CATEGORY_PFNZERO,
                             .any = CATEGORY_PRESENT | CATEGORY_SWAPPED};
  return scan_for(dirty, pagemap, address, end, each, context);
}

bool os_huge_ranges(int pagemap, uintptr_t address, size_t size, os_range_function *each,
                    void *context) {
  struct categories huge = {.out = CATEGORY_PFNZERO, .in = CATEGORY_HUGE, .any = CATEGORY_PRESENT};
  return scan_for(huge, pagemap, address, address + size, each, context);
}

/* Dirty pages */

/* Bit 63: present; 62: swapped; 61: a file's page, or shared anonymous; 56: mapped nowhere else
 * (pagemap.rst). The zero page, and a kernel's refpage, are neither a file's nor mapped here alone;
 * nor is what was written before a fork, which so does not count. */
static bool is_dirty(uint64_t entry) {
  bool present = entry >> 63, swapped = entry >> 62 & 1, file = entry >> 61 & 1;
  return !file && (swapped || (present && entry >> 56 & 1));
}

static bool dirty_by_entries(int pagemap, uintptr_t address, uintptr_t end, os_range_function *each,
                             void *context) {
  uint64_t entries[256];
  while (address < end) {
    size_t pages = (end - address) >> os_page_shift;
    if (pages > 256) pages = 256;
    if (os_refuses("pread")) return false;
    ssize_t got = syscall(SYS_pread64, pagemap, entries, pages * sizeof *entries,
                          (address >> os_page_shift) * sizeof *entries);
    if (got < (ssize_t)sizeof *entries) return false;
    pages = (size_t)got / sizeof *entries;
    for (size_t i = 0; i < pages; i++, address += os_page)
      if (is_dirty(entries[i])) each(context, address, address + os_page);
  }
  return true;
}

struct search {
  uintptr_t address, end;
  bool scan, told;
  os_range_function *each;
  void *context;
};

/* Opened for each use: a kept descriptor could be closed by the program, and would describe the
 * parent's memory after fork. */
static void search_pages(void *context) {
  struct search *search = context;
  int pagemap = os_open_with("/proc/self/pagemap", O_RDONLY);
  if (pagemap < 0) return;
  search->told = (search->scan ? dirty_by_scan : dirty_by_entries)(
      pagemap, search->address, search->end, search->each, search->context);
  os_close(pagemap);
}

bool os_dirty_ranges(uintptr_t address, size_t size, bool scan, os_range_function *each,
                     void *context) {
  struct search search = {address, address + size, scan, false, each, context};
  os_apart(search_pages, &search);
  return search.told;
}
