/* Quotes each line of standard input, which is in hex, as JSON has it. Linked with the core. */
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
  static char line[1 << 12];
  while (fgets(line, sizeof line, stdin)) {
    char bytes[sizeof line / 2], quoted[8 * sizeof line];
    struct text text = {quoted, sizeof quoted, 0};
    size_t length = strcspn(line, "\n") / 2;
    for (size_t i = 0; i < length; i++)
      bytes[i] = (char)strtoul((char[]){line[2 * i], line[2 * i + 1], 0}, NULL, 16);
    text_quoted(&text, bytes, length);
    printf("%.*s\n", (int)text.length, quoted);
  }
  return 0;
}
