/* 0-4 */
#include "bug.h"

struct message {
  unsigned length;
  char text[60];
};

int main(void) {
  struct message *message = get(sizeof *message); /* CULPRIT */
  memset(message->text, '.', sizeof message->text);
  for (unsigned i = 0; i < message->length && i < sizeof message->text; i++)
    putchar(message->text[i]);
  printf("%u\n", message->length);
}
