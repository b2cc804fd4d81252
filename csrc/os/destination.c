/* Destinations (see destination.h). */
#include "os/destination.h"

#include "base/option.h"
#include "os/files.h"
#include "os/process.h"

int destination_descriptor(const char *destination) {
  const char *number = text_past(destination, "fd:");
  int descriptor = 0;
  if (!number) return -1;
  for (; *number; number++) descriptor = descriptor * 10 + (*number - '0');
  return descriptor;
}

int destination_open(const char *destination, enum destination_use use) {
  static int (*const open[])(const char *) = {[OPEN_NEW] = os_create_file,
                                              [OPEN_APPEND] = os_append_file,
                                              [OPEN_READ] = os_open_file,
                                              [OPEN_SHARED] = os_create_shared_file};
  char path[DESTINATION_MOST + 32];
  struct text text = TEXT(path);
  int given = destination_descriptor(destination);
  if (given >= 0) return given;
  path[0] = 0;
  for (const char *at = destination; *at; at++) {
    if (at[0] == '%' && at[1] == 'p')
      text_decimal(&text, (uint64_t)os_process_id()), at++;
    else
      text_span(&text, at, 1);
  }
  return open[use](path);
}

void destination_close(const char *destination, int descriptor) {
  if (destination_descriptor(destination) < 0) os_close(descriptor);
}
