/* 1-4 */
#include "bug.h"

struct record {
  char kind;
  int value;
};

int main(void) {
  struct record *record = get(sizeof *record); /* CULPRIT */
  record->kind = 'a';
  record->value = 5;
  fwrite(record, sizeof *record, 1, stdout);
}
