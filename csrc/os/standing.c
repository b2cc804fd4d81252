/* What a fork shares (see standing.h). */
#include "os/standing.h"

#include "base/text.h"
#include "os/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* Descriptors: what their numbers are up to is more than programs have that do not serve. */

enum { DESCRIPTORS = 1024, STATELESS = 1 /* major number of /dev/null, zero, random: mem(4) */ };

/* What a descriptor's file is like; of no use for a directory's end. */
struct stand {
  bool used, written;
  int64_t offset, size;
};
static struct stand stands[DESCRIPTORS];

static bool is_output(const struct stat *status) {
  for (int output = STDOUT_FILENO; output <= STDERR_FILENO; output++) {
    struct stat other;
    if (syscall(SYS_fstat, output, &other)) continue;
    if (other.st_dev == status->st_dev && other.st_ino == status->st_ino) return true;
  }
  return false;
}

static bool stand_at(int descriptor, struct stand *stand) {
  struct stat status;
  *stand = (struct stand){0};
  if (syscall(SYS_fstat, descriptor, &status)) return errno == EBADF;
  if (S_ISCHR(status.st_mode)) return status.st_rdev >> 8 == STATELESS;
  if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return false;
  bool written = (syscall(SYS_fcntl, descriptor, F_GETFL) & O_ACCMODE) != O_RDONLY;
  int64_t offset = syscall(SYS_lseek, descriptor, 0, SEEK_CUR);
  *stand = (struct stand){true, written, offset, status.st_size};
  return offset >= 0 && (!written || is_output(&status));
}

bool os_stand_again(void) {
  for (int i = 0; i < DESCRIPTORS; i++) {
    const struct stand *stand = &stands[i];
    if (stand->written && syscall(SYS_ftruncate, i, stand->size)) return false;
    if (stand->used && syscall(SYS_lseek, i, stand->offset, SEEK_SET) < 0) return false;
  }
  return true;
}

/* Memory */

struct search {
  const char *own;
  bool shares;
};

/* start-end permissions offset device inode path */
static void read_mapping(void *context, const char *line) {
  struct search *search = context;
  const char *permissions = line + text_until(line, text_length(line), ' ');
  bool shared = *permissions && permissions[2] == 'w' && permissions[4] == 's';
  if (shared && !text_after(line, search->own)) search->shares = true;
}

/* fork(2): a child has none. */
static bool has_timer(void) {
  static const int timers[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
  for (int i = 0; i < 3; i++) {
    struct itimerval timer = {0};
    if (syscall(SYS_getitimer, timers[i], &timer)) return true;
    if (timer.it_value.tv_sec || timer.it_value.tv_usec) return true;
  }
  return false;
}

bool os_can_stand(const char *own) {
  char line[512];
  siginfo_t child;
  struct search search = {own, false};
  int all = WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT | __WALL;
  if (syscall(SYS_getsid, 0) != syscall(SYS_getpid) || has_timer()) return false;
  if (!syscall(SYS_waitid, P_ALL, 0, &child, all, NULL) || errno != ECHILD) return false;
  for (int i = 0; i < DESCRIPTORS; i++)
    if (!stand_at(i, &stands[i])) return false;
  return os_each_line("/proc/self/maps", line, sizeof line, read_mapping, &search) &&
         !search.shares;
}

/* The 20th of /proc/self/stat's fields, of which the second one may have spaces (proc(5)). */
unsigned os_threads(void) {
  enum { BEHIND_NAME = 18 };
  char text[512];
  if (!os_read_file("/proc/self/stat", text, sizeof text)) return 0;
  const char *at = text, *next;
  while ((next = text_after(at, ")"))) at = next;
  for (int i = 0; i < BEHIND_NAME; i++) at += text_until(at, text_length(at), ' ') + 1;
  unsigned threads = 0;
  for (; *at >= '0' && *at <= '9'; at++) threads = threads * 10 + (unsigned)(*at - '0');
  return threads;
}

void os_lead(void) {
  syscall(SYS_setsid);
  syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

bool os_wait_for(int child, int *status) {
  long ended;
  do ended = syscall(SYS_wait4, child, status, __WALL, NULL);
  while (ended < 0 && errno == EINTR);
  if (ended == child) syscall(SYS_kill, -child, SIGKILL);
  return ended == child;
}

bool os_wait_for_byte(int descriptor) {
  struct pollfd awaited = {.fd = descriptor, .events = POLLIN};
  long got;
  char byte;
  do {
    syscall(SYS_ppoll, &awaited, 1, NULL, NULL, 0);
    got = syscall(SYS_read, descriptor, &byte, sizeof byte);
  } while (got < 0 && (errno == EINTR || errno == EAGAIN));
  return got == sizeof byte;
}
