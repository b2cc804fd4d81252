/* Of each line, an instruction in hex: the mask of instruction_registers. */
#include "check.h"
#include "watch/instruction.h"

#include <stdio.h>

int main(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    uint8_t code[INSTRUCTION_MOST] = {0};
    unsigned byte;
    for (int i = 0; i < INSTRUCTION_MOST && sscanf(line + 2 * i, "%2x", &byte) == 1; i++)
      code[i] = (uint8_t)byte;
    printf("%x\n", instruction_registers(code));
  }
}
