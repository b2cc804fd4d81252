/* Calls whose buffer goes past the end of a block, into its guard, or is one that was freed.
 *
 *   buffers CALL SIZE over|freed|rightly    prints what the call returns, and errno */
#include "check.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { OVER = 8192 };

static long call(const char *name, char *block, size_t size) {
  int pair[2], file = open("/proc/self/exe", O_RDONLY);
  struct iovec vector[2] = {{&pair, sizeof pair}, {block, size}};
  struct msghdr message = {.msg_iov = vector, .msg_iovlen = 2};
  CHECK(file >= 0 && !socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  static char text[OVER * 2];
  if (name[0] == 'r' && name[1] == 'e' && name[2] == 'c')
    CHECK(send(pair[1], text, sizeof text, 0) == sizeof text);
#define IS(other) if (!strcmp(name, other))
  IS("read") return read(file, block, size);
  IS("pread") return pread(file, block, size, 64);
  IS("readv") return readv(file, vector, 2);
  IS("preadv") return preadv(file, vector, 2, 0);
  IS("write") return write(pair[0], block, size);
  IS("writev") return writev(pair[0], vector, 2);
  IS("send") return send(pair[0], block, size, 0);
  IS("sendto") return sendto(pair[0], block, size, 0, NULL, 0);
  IS("sendmsg") return sendmsg(pair[0], &message, 0);
  IS("recv") return recv(pair[0], block, size, 0);
  IS("recvfrom") return recvfrom(pair[0], block, size, 0, NULL, NULL);
  IS("recvmsg") return recvmsg(pair[0], &message, 0);
  IS("getrandom") return getrandom(block, size, 0);
  IS("stat") return stat("/", (struct stat *)block);
  IS("fstat") return fstat(file, (struct stat *)block);
  IS("lstat") return lstat("/", (struct stat *)block);
  IS("nowhere") { /* in no heap, and the wrappers' own to read */
    void *volatile nowhere = (void *)8;
    CHECK(readv(file, nowhere, 1) == -1 && errno == EFAULT);
    CHECK(writev(file, nowhere, 2) == -1);
    CHECK(recvmsg(pair[0], nowhere, 0) == -1 && errno == EFAULT);
    return sendmsg(pair[0], nowhere, 0);
  }
  IS("short") { /* there is no more */
    int ends[2];
    CHECK(!pipe(ends) && write(ends[1], text, 1000) == 1000);
    CHECK(read(open("/dev/null", O_RDONLY), block, size) == 0);
    return read(ends[0], block, size);
  }
  IS("fstatat") return fstatat(AT_FDCWD, "/", (struct stat *)block, 0);
  CHECK(!strcmp(name, "readlink"));
  return readlink("/proc/self/exe", block, size);
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  size_t size = (size_t)atol(argv[2]), asked = size;
  char *volatile block = malloc(size);
  CHECK(block);
  memset(block, 1, size);
  if (!strcmp(argv[3], "over")) asked += OVER;
  if (!strcmp(argv[3], "freed")) free(block);
  errno = 0;
  long result = call(argv[1], block, asked);
  int error = errno;
  printf("%s %d\n", result < 0 ? "refused" : "done", error);
  return 0;
}
