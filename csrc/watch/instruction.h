/* What an instruction accesses memory by: enough of x86-64's encoding for the registers of its
 * operand, where the processor does not tell an address (one that is not canonical). */
#ifndef PATALLOC_INSTRUCTION_H
#define PATALLOC_INSTRUCTION_H

#include <stdint.h>

enum { INSTRUCTION_MOST = 15 }; /* bytes */

/* A bit for each register, by the number that it has in instructions; none for one that accesses no
 * memory by them. All on other processors. */
uint32_t instruction_registers(const uint8_t code[INSTRUCTION_MOST]);

/* Whether it is a call or jump by a register or by memory; or a return. */
enum instruction_jump { JUMPS_NOT, JUMPS, RETURNS };
enum instruction_jump instruction_jump(const uint8_t code[INSTRUCTION_MOST]);

#endif
