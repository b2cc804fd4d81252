/* 20-32 */
#include "bug.h"

static void serve(int connection) {
  char request[64];
  ssize_t length = read(connection, request, sizeof request);
  char *answer = get(32); /* CULPRIT */
  memcpy(answer, "hello ", 6);
  memcpy(answer + 6, request, (size_t)length);
  if (write(connection, answer, 32) != 32) exit(1);
}

int main(void) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) return 1;
  pid_t client = fork();
  if (!client) {
    char answer[32];
    if (write(ends[1], "somebody here!", 14) != 14 || read(ends[1], answer, 32) != 32) _exit(1);
    _exit(write(1, answer, 32) != 32);
  }
  serve(ends[0]);
  waitpid(client, NULL, 0);
}
