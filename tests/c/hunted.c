/* Ways to behave, some of which depend on a byte that was never written; the argument names one. */
#include "check.h"

int main(int argc, char **argv) {
  const char *what = argv[1];
  CHECK(argc > 1);
  unsigned char *byte = malloc(100);
  if (!strcmp(what, "pid")) printf("%d of process %d\n", byte[7], getpid());
  if (!strcmp(what, "file")) {
    FILE *file = fopen(argv[2], "w");
    CHECK(file && fwrite(byte, 9, 1, file) == 1 && !fclose(file));
  }
  if (!strcmp(what, "input")) {
    int first = getchar();
    if (first == 'y') printf("%d\n", byte[3]);
  }
  if (!strcmp(what, "hang")) {
    while (byte[50]) sleep(1);
    puts("went on");
  }
  if (!strcmp(what, "status")) return byte[0] == 0xff ? 7 : 0;
  if (!strcmp(what, "overflow")) {
    char *block = malloc(1 << 20);
    block[(1 << 20) - 1 + (byte[5] & 1)] = 1;
  }
  if (!strcmp(what, "much")) {
    for (int i = 0; i < 3000000; i++) fwrite("0123456789abcdef", 16, 1, stdout);
    putchar(byte[1] ? '!' : '.');
  }
  if (!strcmp(what, "slow")) {
    usleep(400000);
    for (int i = 0; i < 200; i++) putchar(((char *)malloc(100))[i / 2] ? 'x' : '-');
  }
  if (!strcmp(what, "random")) printf("result %d\n", byte[9] == 1 ? getpid() : 0);
  if (!strcmp(what, "stale") && !byte[8]) {
    FILE *file = fopen(argv[2], "w");
    CHECK(file && fputs("hello\n", file) >= 0 && !fclose(file));
  }
  if (!strcmp(what, "milliseconds")) printf("timeout %u ms\n", byte[10]);
  if (!strcmp(what, "rows")) {
    if (getpid() & 1) puts("checked 100 rows");
    printf("checked %u rows\n", byte[11]);
  }
  if (!strcmp(what, "lines")) {
    for (int i = 0; i < 20000; i++) puts(i == 10000 && byte[12] ? "1" : "0");
    for (int i = 0; i < 20000; i++) printf("%d,", i == 5000 ? getpid() : i);
    puts("end");
  }
  if (!strcmp(what, "quiet")) free(byte);
}
