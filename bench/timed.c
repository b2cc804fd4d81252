/* Runs a command with its output thrown away; prints one JSON line: its time in microseconds (with
 * TIMED=cpu in the environment that of the processor), and
 * the peak RSS in KiB of the largest of its processes. In C, so that the command is forked from a
 * small process: a maximum is inherited through exec(2). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

static double of(struct timeval time) {
  return (double)time.tv_sec * 1e6 + (double)time.tv_usec;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  double start = now();
  pid_t child = fork();
  if (child == 0) {
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    execvp(argv[1], argv + 1);
    _exit(127);
  }
  int status;
  struct rusage usage;
  if (child < 0 || wait4(child, &status, 0, &usage) != child || status) return 1;
  const char *what = getenv("TIMED");
  double took =
      what && !strcmp(what, "cpu") ? of(usage.ru_utime) + of(usage.ru_stime) : now() - start;
  printf("{\"us\": %.1f, \"rss_kib\": %ld}\n", took, usage.ru_maxrss);
  return 0;
}
