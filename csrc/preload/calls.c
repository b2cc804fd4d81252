/* Calls into the kernel that take a buffer, in front of the C library's: where one fails with
 * EFAULT, or does less than was asked for, it is told whether a guard is the reason, and nothing
 * else of it changes. A library of its own (libpatalloc_calls.so), preloaded behind the other where
 * errors are reported.
 *
 * What is behind it is found out at the start, as a handler of a signal may call most of these.
 * What the C library calls of itself, as for its streams, does not come by here. */
#include "preload/refused.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#pragma weak patalloc_refused
#pragma weak patalloc_refused_vector
#pragma weak patalloc_refused_message

/* Type, name, parameters, arguments, whether the kernel writes to the buffer, its address, and its
 * bytes: those that were asked for, or what it is known to have at least. */
#define BUFFERS(CALL)                                                                              \
  CALL(ssize_t, read, (int d, void *b, size_t n), (d, b, n), true, b, n)                           \
  CALL(ssize_t, __read_chk, (int d, void *b, size_t n, size_t most), (d, b, n, most), true, b, n)  \
  CALL(ssize_t, pread, (int d, void *b, size_t n, off_t at), (d, b, n, at), true, b, n)            \
  CALL(ssize_t, pread64, (int d, void *b, size_t n, off_t at), (d, b, n, at), true, b, n)          \
  CALL(ssize_t, __pread_chk, (int d, void *b, size_t n, off_t at, size_t most),                    \
       (d, b, n, at, most), true, b, n)                                                            \
  CALL(ssize_t, __pread64_chk, (int d, void *b, size_t n, off_t at, size_t most),                  \
       (d, b, n, at, most), true, b, n)                                                            \
  CALL(ssize_t, write, (int d, const void *b, size_t n), (d, b, n), false, b, n)                   \
  CALL(ssize_t, pwrite, (int d, const void *b, size_t n, off_t at), (d, b, n, at), false, b, n)    \
  CALL(ssize_t, pwrite64, (int d, const void *b, size_t n, off_t at), (d, b, n, at), false, b, n)  \
  CALL(ssize_t, recv, (int d, void *b, size_t n, int f), (d, b, n, f), true, b, n)                 \
  CALL(ssize_t, __recv_chk, (int d, void *b, size_t n, size_t most, int f), (d, b, n, most, f),    \
       true, b, n)                                                                                 \
  CALL(ssize_t, recvfrom, (int d, void *b, size_t n, int f, void *from, void *length),             \
       (d, b, n, f, from, length), true, b, n)                                                     \
  CALL(ssize_t, __recvfrom_chk,                                                                    \
       (int d, void *b, size_t n, size_t most, int f, void *from, void *length),                   \
       (d, b, n, most, f, from, length), true, b, n)                                               \
  CALL(ssize_t, send, (int d, const void *b, size_t n, int f), (d, b, n, f), false, b, n)          \
  CALL(ssize_t, sendto, (int d, const void *b, size_t n, int f, const void *to, unsigned length),  \
       (d, b, n, f, to, length), false, b, n)                                                      \
  CALL(ssize_t, getrandom, (void *b, size_t n, unsigned f), (b, n, f), true, b, n)                 \
  CALL(ssize_t, readlink, (const char *path, char *b, size_t n), (path, b, n), true, b, n)         \
  CALL(ssize_t, __readlink_chk, (const char *path, char *b, size_t n, size_t most),                \
       (path, b, n, most), true, b, n)                                                             \
  CALL(int, stat, (const char *path, void *b), (path, b), true, b, sizeof(struct stat))            \
  CALL(int, stat64, (const char *path, void *b), (path, b), true, b, sizeof(struct stat))          \
  CALL(int, lstat, (const char *path, void *b), (path, b), true, b, sizeof(struct stat))           \
  CALL(int, lstat64, (const char *path, void *b), (path, b), true, b, sizeof(struct stat))         \
  CALL(int, fstat, (int d, void *b), (d, b), true, b, sizeof(struct stat))                         \
  CALL(int, fstat64, (int d, void *b), (d, b), true, b, sizeof(struct stat))                       \
  CALL(int, fstatat, (int d, const char *path, void *b, int f), (d, path, b, f), true, b,          \
       sizeof(struct stat))                                                                        \
  CALL(int, fstatat64, (int d, const char *path, void *b, int f), (d, path, b, f), true, b,        \
       sizeof(struct stat))

/* The same with an array of buffers instead of one. */
#define VECTORS(CALL)                                                                              \
  CALL(ssize_t, readv, (int d, const void *v, int n), (d, v, n), true, v, (size_t)n)               \
  CALL(ssize_t, writev, (int d, const void *v, int n), (d, v, n), false, v, (size_t)n)             \
  CALL(ssize_t, preadv, (int d, const void *v, int n, off_t at), (d, v, n, at), true, v,           \
       (size_t)n)                                                                                  \
  CALL(ssize_t, preadv64, (int d, const void *v, int n, off_t at), (d, v, n, at), true, v,         \
       (size_t)n)                                                                                  \
  CALL(ssize_t, pwritev, (int d, const void *v, int n, off_t at), (d, v, n, at), false, v,         \
       (size_t)n)                                                                                  \
  CALL(ssize_t, pwritev64, (int d, const void *v, int n, off_t at), (d, v, n, at), false, v,       \
       (size_t)n)

/* With the header of a message. */
#define MESSAGES(CALL)                                                                             \
  CALL(ssize_t, recvmsg, (int d, void *m, int f), (d, m, f), true, m, 1)                           \
  CALL(ssize_t, sendmsg, (int d, const void *m, int f), (d, m, f), false, m, 1)

#define INDEX(type, name, ...) INDEX_##name,
enum { BUFFERS(INDEX) VECTORS(INDEX) MESSAGES(INDEX) CALLS };

#define NAME(type, name, ...) #name,
static const char names[][16] = {BUFFERS(NAME) VECTORS(NAME) MESSAGES(NAME)};
static void *_Atomic next[CALLS];

/* Also called for by what starts before this does. */
static void *find(int index) {
  if (!next[index]) next[index] = dlsym(RTLD_NEXT, names[index]);
  return next[index];
}

__attribute__((constructor)) static void find_all(void) {
  for (int i = 0; i < CALLS; i++) find(i);
}

static void tell(int index, bool writes, const void *buffer, size_t size, ssize_t result) {
  size_t done = result > 0 ? (size_t)result : 0;
  if (patalloc_refused) patalloc_refused(names[index], writes, buffer, size, done);
}

static void tell_of_all(int index, bool writes, const void *vector, size_t count, ssize_t result) {
  if (result < 0 && patalloc_refused_vector)
    patalloc_refused_vector(names[index], writes, vector, count);
}

static void tell_of_message(int index, bool writes, const void *message, size_t count,
                            ssize_t result) {
  (void)count;
  if (result < 0 && patalloc_refused_message)
    patalloc_refused_message(names[index], writes, message);
}

/* By other names, as headers may say that the symbol of one is another's (_FILE_OFFSET_BITS). */
#define DEFINE(type, name, parameters, arguments, writes, address, count, tell)                    \
  __attribute__((visibility("default"))) type in_front_of_##name parameters __asm__(#name);        \
  type in_front_of_##name parameters {                                                             \
    type(*function) parameters;                                                                    \
    *(void **)&function = find(INDEX_##name);                                                      \
    if (!function) return errno = ENOSYS, -1;                                                      \
    type result = function arguments;                                                              \
    bool counts = sizeof(type) == sizeof(ssize_t), less = result > 0 && (size_t)result < count;    \
    if ((result == -1 && errno == EFAULT) || (counts && less))                                     \
      tell(INDEX_##name, writes, address, count, result);                                          \
    return result;                                                                                 \
  }
#define BUFFER(...)  DEFINE(__VA_ARGS__, tell)
#define VECTOR(...)  DEFINE(__VA_ARGS__, tell_of_all)
#define MESSAGE(...) DEFINE(__VA_ARGS__, tell_of_message)
BUFFERS(BUFFER)
VECTORS(VECTOR)
MESSAGES(MESSAGE)
