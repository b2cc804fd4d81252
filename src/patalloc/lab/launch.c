/* Starts a program and measures it: for src/patalloc/lab/launcher.py.
 *
 *   launch RESULT LIBRARY PRELOAD PROGRAM [ARGUMENT...]
 *
 * A line of JSON goes to the file RESULT: the status as wait(2) has it, times in seconds, memory in
 * bytes, whether a file with LIBRARY in its path was mapped as the program ended, and the kernel's
 * counters as far as there are any. The program has PRELOAD as its LD_PRELOAD, which is not for
 * this one. Exit status 0, or 1 with a line on standard error. SIGTERM, or the caller's end, ends
 * the program and what it has started, and this one with 2.
 *
 * It is small: the peak that wait4(2) tells of a child is at least what its parent had when it
 * forked, and a Python process has some hundred MB.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EVERY = 10000000 }; /* nanoseconds: how often it is looked how much memory there is */

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double seconds(struct timeval time) {
  return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

/* Counters (perf_event_open(2)): of the program and what it starts, from its first instruction on;
 * without the kernel's part where that is not allowed (kernel.perf_event_paranoid). */

static struct counter {
  const char *name;
  uint32_t type;
  uint64_t config;
  int descriptor;
} counters[] = {
    {"instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, -1},
    {"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, -1},
    {"cache_misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES, -1},
};
enum { COUNTERS = sizeof counters / sizeof *counters };

static void count(pid_t child) {
  for (int i = 0; i < COUNTERS; i++) {
    struct perf_event_attr attributes = {.type = counters[i].type,
                                         .size = sizeof attributes,
                                         .config = counters[i].config,
                                         .disabled = 1,
                                         .inherit = 1,
                                         .enable_on_exec = 1};
    for (int only_user = 0; only_user < 2 && counters[i].descriptor < 0; only_user++) {
      attributes.exclude_kernel = (unsigned)only_user & 1;
      counters[i].descriptor =
          (int)syscall(SYS_perf_event_open, &attributes, child, -1, -1, PERF_FLAG_FD_CLOEXEC);
    }
  }
}

/* Memory */

static struct {
  long anonymous, anonymous_at_end, shared_fairly; /* bytes; -1: not known */
  long mappings;
  bool has_library;
} memory = {-1, -1, -1, -1, false};

static FILE *open_of(pid_t child, const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", child, name);
  return fopen(path, "re");
}

static void look(pid_t child) {
  long size, resident, shared;
  FILE *file = open_of(child, "statm");
  if (file && fscanf(file, "%ld %ld %ld", &size, &resident, &shared) == 3) {
    long anonymous = (resident - shared) * sysconf(_SC_PAGESIZE);
    if (memory.anonymous < anonymous) memory.anonymous = anonymous;
  }
  if (file) fclose(file);
}

static void look_at_end(pid_t child, const char *library) {
  char line[4096];
  long kib;
  FILE *file = open_of(child, "status");
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "RssAnon: %ld", &kib) == 1) memory.anonymous_at_end = kib << 10;
  if (file) fclose(file);
  file = open_of(child, "smaps_rollup"); /* Linux 4.14 */
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "Pss: %ld", &kib) == 1) memory.shared_fairly = kib << 10;
  if (file) fclose(file);
  file = open_of(child, "maps");
  if (file) memory.mappings = 0;
  while (file && fgets(line, sizeof line, file)) {
    memory.mappings++;
    memory.has_library |= *library && strstr(line, library);
  }
  if (file) fclose(file);
  look(child);
}

/* The program is traced (ptrace(2)) so that it can be looked at as it ends: it stops there, and
 * with each signal that it gets, which it is given. */

static pid_t start(const char *preload, char **command, int *go) {
  int gate[2];
  char byte;
  if (pipe2(gate, O_CLOEXEC)) fail("pipe");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (!child) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* what it sends to its process group is not for this one */
    close(gate[1]);
    if (*preload && setenv("LD_PRELOAD", preload, 1)) fail("setenv");
    if (read(gate[0], &byte, 1) == 1) execvp(*command, command);
    fail(*command);
  }
  close(gate[0]);
  *go = gate[1];
  return child;
}

int main(int argc, char **argv) {
  if (argc < 5) return fprintf(stderr, "launch RESULT LIBRARY PRELOAD PROGRAM [ARGUMENT...]\n"), 1;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  const char *library = argv[2];
  FILE *result = fopen(argv[1], "we");
  if (!result) fail(argv[1]);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGCHLD);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, NULL);
  int go, status;
  struct rusage usage;
  pid_t child = start(argv[3], argv + 4, &go);
  bool traced = !ptrace(PTRACE_SEIZE, child, 0, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL);
  count(child);
  double begun = now(), paused = 0;
  if (write(go, "", 1) != 1) fail("write");
  for (;;) {
    pid_t changed = wait4(child, &status, WNOHANG | __WALL, &usage);
    if (changed < 0) fail("wait");
    if (changed && !WIFSTOPPED(status)) break;
    if (!changed) {
      if (sigtimedwait(&ends, NULL, &(struct timespec){0, EVERY}) == SIGTERM) {
        kill(-child, SIGKILL);
        return 2;
      }
      look(child);
      continue;
    }
    int event = status >> 16, number = WSTOPSIG(status);
    if (event == PTRACE_EVENT_EXIT) {
      double stopped = now();
      look_at_end(child, library);
      paused += now() - stopped;
    }
    bool group = event == PTRACE_EVENT_STOP && number != SIGTRAP;
    ptrace(group ? PTRACE_LISTEN : PTRACE_CONT, child, 0, event ? 0 : number);
  }
  double wall = now() - begun - paused;
  kill(-child, SIGKILL); /* what it has left running */
  fprintf(result, "{\"status\": %d, \"traced\": %s, \"has_library\": %s", status,
          traced ? "true" : "false", memory.has_library ? "true" : "false");
  fprintf(result, ", \"wall\": %.9f, \"user\": %.6f, \"system\": %.6f, \"peak_rss\": %ld", wall,
          seconds(usage.ru_utime), seconds(usage.ru_stime), usage.ru_maxrss << 10);
  fprintf(result, ", \"minor_faults\": %ld, \"major_faults\": %ld", usage.ru_minflt,
          usage.ru_majflt);
  fprintf(result, ", \"context_switches\": %ld", usage.ru_nvcsw + usage.ru_nivcsw);
  if (memory.anonymous >= 0) fprintf(result, ", \"peak_anon\": %ld", memory.anonymous);
  if (memory.anonymous_at_end >= 0) fprintf(result, ", \"anon\": %ld", memory.anonymous_at_end);
  if (memory.shared_fairly >= 0) fprintf(result, ", \"pss\": %ld", memory.shared_fairly);
  if (memory.mappings >= 0) fprintf(result, ", \"vmas\": %ld", memory.mappings);
  for (int i = 0; i < COUNTERS; i++) {
    uint64_t value;
    if (counters[i].descriptor >= 0 && read(counters[i].descriptor, &value, sizeof value) == 8)
      fprintf(result, ", \"%s\": %llu", counters[i].name, (unsigned long long)value);
  }
  fprintf(result, "}\n");
  return fclose(result) ? fail(argv[1]), 1 : 0;
}
