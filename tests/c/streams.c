/* fork(2) while other threads have streams locked: the C library's list of them comes before
 * malloc's locks. Ends by itself, or not at all; prints nothing.
 *
 *   streams FILE      which is made */
#include "check.h"

#include <sys/wait.h>

static _Atomic bool over;
static const char *path;

static void *fork_children(void *unused) {
  while (!over) {
    pid_t child = fork();
    if (!child) {
      fflush(NULL);
      _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child);
  }
  return unused;
}

/* A line that is a large block, which grows while its stream is locked. */
static void *read_lines(void *unused) {
  FILE *file = fopen(path, "r");
  CHECK(file);
  while (!over) {
    char *line = NULL;
    size_t size = 0;
    rewind(file);
    CHECK(getline(&line, &size, file) == 700001);
    free(line);
  }
  fclose(file);
  return unused;
}

static void *flush(void *unused) {
  while (!over) fflush(NULL);
  return unused;
}

int main(int argc, char **argv) {
  static void *(*const functions[])(void *) = {fork_children, read_lines, flush,      read_lines,
                                               fork_children, read_lines, read_lines, read_lines};
  enum { THREADS = sizeof functions / sizeof *functions };
  pthread_t threads[THREADS];
  CHECK(argc == 2);
  path = argv[1];
  FILE *file = fopen(path, "w");
  for (int i = 0; i < 700000; i++) fputc('x', file);
  CHECK(fputc('\n', file) == '\n' && !fclose(file));
  for (int i = 0; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, functions[i], NULL));
  sleep(3);
  over = true;
  for (int i = 0; i < THREADS; i++) CHECK(!pthread_join(threads[i], NULL));
  return 0;
}
