/* Instructions (see instruction.h; Intel's manual, volume 2, chapter 2 and appendix A). */
#include "watch/instruction.h"

#include <stdbool.h>

#ifdef __x86_64__

enum { RBX = 3, RSP = 4, RBP = 5, RSI = 6, RDI = 7 };
enum { REX_X = 2, REX_B = 1 };

struct decoder {
  const uint8_t *at, *end;
  unsigned rex; /* its bits X and B, wherever they come from */
  unsigned map; /* of opcodes: 0, or 1 to 3 behind 0F, 0F 38, 0F 3A */
};

static uint8_t next(struct decoder *decoder) {
  return decoder->at < decoder->end ? *decoder->at++ : 0;
}

static bool is_prefix(uint8_t byte) {
  switch (byte) {
  case 0x26: /* segments */
  case 0x2e:
  case 0x36:
  case 0x3e:
  case 0x64:
  case 0x65:
  case 0x66: /* operand and address size */
  case 0x67:
  case 0xf0: /* lock, repeat */
  case 0xf2:
  case 0xf3:
    return true;
  default:
    return false;
  }
}

/* Up to the opcode. */
static uint8_t decode_opcode(struct decoder *decoder) {
  uint8_t byte = next(decoder), first;
  while (is_prefix(byte)) byte = next(decoder);
  if (byte >> 4 == 4) decoder->rex = byte & 3u, byte = next(decoder);
  switch (byte) {
  case 0xc5: /* two bytes */
    next(decoder);
    decoder->map = 1;
    return next(decoder);
  case 0xc4: /* three bytes */
  case 0x62: /* and EVEX, four: both have the bits inverted */
    first = next(decoder);
    next(decoder);
    if (byte == 0x62) next(decoder);
    decoder->rex = ~first >> 5 & 3u;
    decoder->map = first & (byte == 0x62 ? 7u : 31u);
    return next(decoder);
  case 0x0f:
    byte = next(decoder);
    decoder->map = byte == 0x38 ? 2 : byte == 0x3a ? 3 : 1;
    return decoder->map == 1 ? byte : next(decoder);
  default:
    return byte;
  }
}

static uint32_t bit(unsigned number) {
  return (uint32_t)1 << number;
}

/* Of the operand in memory; or the register from which a jump's target comes. */
static uint32_t decode_operand(struct decoder *decoder, bool jumps) {
  uint8_t operand = next(decoder), mode = operand >> 6, base = operand & 7;
  unsigned high_base = decoder->rex & REX_B ? 8 : 0, high_index = decoder->rex & REX_X ? 8 : 0;
  if (mode == 3) return jumps ? bit(base + high_base) : 0;
  if (base == RBP && mode == 0) return 0; /* by the place of the instruction */
  if (base != RSP) return bit(base + high_base);
  uint8_t scaled = next(decoder), index = scaled >> 3 & 7;
  uint32_t used = index + high_index != RSP ? bit(index + high_index) : 0;
  base = scaled & 7;
  return base == RBP && mode == 0 ? used : used | bit(base + high_base);
}

/* Those that have a byte of operands, of one byte's opcodes. */
static bool has_operand(uint8_t opcode) {
  if (opcode < 0x40) return (opcode & 7) < 4;
  switch (opcode) {
  case 0x63:
  case 0x69:
  case 0x6b:
  case 0xc0:
  case 0xc1:
  case 0xc6:
  case 0xc7:
  case 0xf6:
  case 0xf7:
  case 0xfe:
  case 0xff:
    return true;
  default:
    return (opcode >= 0x80 && opcode < 0x90) || (opcode >= 0xd0 && opcode < 0xd4) ||
           (opcode >= 0xd8 && opcode < 0xe0);
  }
}

/* What an opcode accesses by itself. */
static uint32_t implied(uint8_t opcode) {
  switch (opcode) {
  case 0xa4: /* movs, cmps */
  case 0xa5:
  case 0xa6:
  case 0xa7:
    return bit(RSI) | bit(RDI);
  case 0xaa: /* stos, scas */
  case 0xab:
  case 0xae:
  case 0xaf:
    return bit(RDI);
  case 0xac: /* lods */
  case 0xad:
    return bit(RSI);
  case 0xc9: /* leave */
    return bit(RBP);
  case 0xd7: /* xlat */
    return bit(RBX);
  case 0xc2: /* ret, call, push of a number, of flags */
  case 0xc3:
  case 0xca:
  case 0xcb:
  case 0xcf:
  case 0xe8:
  case 0x68:
  case 0x6a:
  case 0x9c:
  case 0x9d:
    return bit(RSP);
  default:
    return opcode >= 0x50 && opcode < 0x60 ? bit(RSP) : 0; /* push, pop */
  }
}

uint32_t instruction_registers(const uint8_t code[INSTRUCTION_MOST]) {
  struct decoder decoder = {.at = code, .end = code + INSTRUCTION_MOST};
  uint8_t opcode = decode_opcode(&decoder);
  if (decoder.map) return decode_operand(&decoder, false);
  uint32_t used = implied(opcode);
  if (has_operand(opcode)) used |= decode_operand(&decoder, opcode == 0xff);
  return used;
}

enum instruction_jump instruction_jump(const uint8_t code[INSTRUCTION_MOST]) {
  enum { CALL = 2, JUMP = 4 };
  struct decoder decoder = {.at = code, .end = code + INSTRUCTION_MOST};
  uint8_t opcode = decode_opcode(&decoder);
  if (decoder.map) return JUMPS_NOT;
  if (opcode == 0xc2 || opcode == 0xc3) return RETURNS;
  uint8_t kind = next(&decoder) >> 3 & 7;
  return opcode == 0xff && (kind == CALL || kind == JUMP) ? JUMPS : JUMPS_NOT;
}

#else

enum instruction_jump instruction_jump(const uint8_t code[INSTRUCTION_MOST]) {
  (void)code;
  return JUMPS_NOT;
}

uint32_t instruction_registers(const uint8_t code[INSTRUCTION_MOST]) {
  (void)code;
  return UINT32_MAX;
}

#endif
