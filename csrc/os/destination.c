/* Destinations (see destination.h). */
#include "os/destination.h"

#include "base/option.h"
#include "os/apart.h"
#include "os/process.h"

/* The number in fd:N; -1 for a path. */
static int descriptor_of(const char *destination) {
  if (!*destination) return -1;
  const char *number = text_past(destination, "fd:");
  int descriptor = 0;
  if (!number) return -1;
  for (; *number; number++) descriptor = descriptor * 10 + (*number - '0');
  return descriptor;
}

void destination_identify(const char *destination, struct os_identity *identity) {
  int descriptor = descriptor_of(destination);
  *identity = (struct os_identity){0};
  if (descriptor >= 0) os_identify(descriptor, identity, NULL);
}

/* A path, which is composed before: apart, the process has another number. */
struct visit {
  char path[DESTINATION_MOST + 32];
  enum destination_use use;
  destination_function *function;
  void *context;
  bool done;
};

static void compose(const char *destination, struct text *path) {
  for (const char *at = destination; *at; at++) {
    if (at[0] == '%' && at[1] == 'p')
      text_decimal(path, (uint64_t)os_process_id()), at++;
    else
      text_span(path, at, 1);
  }
}

static void visit(void *context) {
  static int (*const open[])(const char *) = {[OPEN_NEW] = os_create_file,
                                              [OPEN_APPEND] = os_append_file,
                                              [OPEN_READ] = os_open_file,
                                              [OPEN_SHARED] = os_create_shared_file};
  struct visit *visit = context;
  int descriptor = open[visit->use](visit->path);
  if (descriptor < 0) return;
  visit->done = visit->function(descriptor, visit->context);
  os_close(descriptor);
}

bool destination_visit(const char *destination, const struct os_identity *identity,
                       enum destination_use use, destination_function *function, void *context) {
  int given = descriptor_of(destination);
  if (given >= 0) return os_is(given, identity) && function(given, context);
  struct visit made = {.use = use, .function = function, .context = context};
  struct text path = TEXT(made.path);
  made.path[0] = 0;
  compose(destination, &path);
  os_apart(visit, &made);
  return made.done;
}
