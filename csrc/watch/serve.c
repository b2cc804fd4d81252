/* A fork server (see serve.h). The C library forks, so that libraries have the calls that they
 * asked for by pthread_atfork(3): OpenBLAS ends its idle threads before. */
#include "watch/serve.h"

#include "base/text.h"
#include "os/files.h"
#include "os/process.h"
#include "os/standing.h"

#include <pthread.h>
#include <unistd.h>

enum { NAME_MOST = 512 };
enum { IS_READY = 1, IS_REFUSED = 2 }; /* the first answer */
static int orders, answers;
static bool serves, alone;

/* What libraries have set since then was called by now. */
static void count_threads(void) {
  enum { TRIES = 1000 };
  alone = false;
  for (int i = 0; serves && i < TRIES && !alone; i++) {
    alone = os_threads() == 1;
    if (!alone) os_yield();
  }
}

void serve_prepare(void) {
  pthread_atfork(count_threads, NULL, NULL);
}

static void answer(int number) {
  os_write(answers, (const char *)&number, sizeof number);
}

static int open_beside(const char *name, const char *ending, int (*open)(const char *)) {
  char path[NAME_MOST];
  struct text text = TEXT(path);
  text_string(&text, name);
  text_string(&text, ending);
  int descriptor = open(path);
  return descriptor < 0 ? -1 : os_hide_descriptor(descriptor);
}

bool serve_begin(const char *name, const char *own) {
  serves = os_can_stand(own);
  orders = open_beside(name, ".orders", os_open_file);
  answers = open_beside(name, ".answers", os_append_file);
  if (orders < 0 || answers < 0) return false;
  answer(serves ? IS_READY : IS_REFUSED);
  return serves;
}

bool serve_wait(void) {
  return os_wait_for_byte(orders);
}

static void go_on(void) {
  os_close(orders);
  os_close(answers);
  os_lead();
  serves = false;
}

enum served serve_fork(void) {
  int status;
  if (!os_stand_again()) return SERVE_FAILED;
  pid_t child = fork();
  if (child < 0) return SERVE_FAILED;
  if (!child && !alone) _exit(1);
  if (!child) return go_on(), SERVE_IN_CHILD;
  if (alone) answer(child);
  if (!os_wait_for(child, &status) || !alone) return SERVE_FAILED;
  answer(status);
  return SERVE_DONE;
}
