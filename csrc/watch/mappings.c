/* The process's mappings (see mappings.h). */
#include "watch/mappings.h"

#include "base/text.h"
#include "os/destination.h"
#include "os/files.h"
#include "pages/region.h"

static bool write_all(int descriptor, void *unused) {
  (void)unused;
  char line[64];
  struct text text = TEXT(line);
  text_string(&text, "heap ");
  text_hex(&text, region_base(), 1);
  text_string(&text, "-");
  text_hex(&text, region_base() + region_size(), 1);
  text_string(&text, "\n");
  os_write(descriptor, line, text.length);
  return os_copy_text("/proc/self/smaps", descriptor);
}

void mappings_write(const char *destination) {
  struct os_identity identity;
  destination_identify(destination, &identity);
  destination_visit(destination, &identity, OPEN_NEW, write_all, NULL);
}
