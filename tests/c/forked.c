/* Something to go on from where byte 7 of a block is read, and what it shares with a fork; the
 * argument names it. */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void *wait_long(void *unused) {
  while (!unused) sleep(60);
  return unused;
}

static void *end(void *unused) {
  return unused;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  int pair[2];
  pthread_t thread;
  char line[100] = "";
  FILE *input = !strcmp(what, "file") ? fopen(argv[2], "r") : NULL;
  if (input) CHECK(fgets(line, sizeof line, input) && fputs(line, stdout) >= 0 && !fflush(stdout));
  if (!strcmp(what, "thread")) CHECK(!pthread_create(&thread, NULL, wait_long, NULL));
  if (!strcmp(what, "joined"))
    CHECK(!pthread_create(&thread, NULL, end, NULL) && !pthread_join(thread, NULL));
  if (!strcmp(what, "socket")) CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  if (!strcmp(what, "pipe")) CHECK(!pipe(pair));
  if (!strcmp(what, "child") && !fork()) wait_long(NULL);
  if (!strcmp(what, "written")) CHECK(open(argv[2], O_WRONLY | O_CREAT, 0600) >= 0);
  if (!strcmp(what, "shared"))
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) !=
          MAP_FAILED);
  if (!strcmp(what, "timer")) alarm(1000);
  if (!strcmp(what, "buffered")) fputs("before, ", stdout);
  unsigned char *block = malloc(100);
  printf("%d leads %d\n", block[7], getsid(0) == getpid() && getpgrp() == getpid());
  if (input) CHECK(fgets(line, sizeof line, input) && fputs(line, stdout) >= 0);
  if (!strcmp(what, "status")) return block[7] + 3;
  if (!strcmp(what, "signal")) raise(block[7] ? SIGKILL : SIGTERM);
  if (!strcmp(what, "slow")) fflush(stdout), sleep(block[7] ? 60 : 0);
  if (!strcmp(what, "leaves") && !fork()) execlp("sleep", "sleep", argv[2], NULL);
  return 0;
}
