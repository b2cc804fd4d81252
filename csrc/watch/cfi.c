/* Call frame information (see cfi.h). */
#include "watch/cfi.h"

#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#ifdef __aarch64__
enum { SP = 31, FP = 29, RA = 30 };
#else
enum { SP = 7, FP = 6, RA = 16 };
#endif

/* Reading */

/* `hard` once something was met that is not understood. */
struct reader {
  const uint8_t *at, *end;
  bool hard;
};

static uint64_t read_bytes(struct reader *reader, size_t size) {
  uint64_t value = 0; /* of a little-endian machine */
  if ((size_t)(reader->end - reader->at) < size) return reader->hard = true, 0;
  memcpy(&value, reader->at, size);
  reader->at += size;
  return value;
}

static uint8_t read_byte(struct reader *reader) {
  return (uint8_t)read_bytes(reader, 1);
}

static uint64_t read_uleb(struct reader *reader) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint8_t byte = read_byte(reader);
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return value;
  }
  return reader->hard = true, 0;
}

static int64_t read_sleb(struct reader *reader) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint8_t byte = read_byte(reader);
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte & 0x80) continue;
    if (byte & 0x40 && shift < 57) value |= -((uint64_t)1 << (shift + 7));
    return (int64_t)value;
  }
  return reader->hard = true, 0;
}

/* Pointers, as an encoding (DW_EH_PE_*) has them: its low half says how they are stored, the high
 * one what they are relative to. */
static uint64_t read_stored(struct reader *reader, uint8_t encoding) {
  switch (encoding & 0xf) {
  case 0x00:
  case 0x04:
  case 0x0c:
    return read_bytes(reader, 8);
  case 0x02:
    return read_bytes(reader, 2);
  case 0x0a:
    return (uint64_t)(int16_t)read_bytes(reader, 2);
  case 0x03:
    return read_bytes(reader, 4);
  case 0x0b:
    return (uint64_t)(int32_t)read_bytes(reader, 4);
  default:
    return reader->hard = true, 0;
  }
}

static uintptr_t read_pointer(struct reader *reader, uint8_t encoding) {
  uintptr_t place = (uintptr_t)reader->at;
  uint64_t stored = read_stored(reader, encoding);
  if (encoding & 0xf0 & ~0x10) reader->hard = true;
  return encoding & 0x10 ? place + stored : stored;
}

/* Rules */

/* How a register of the caller is got back. */
struct saved {
  enum { SAVED_NOT, SAVED_AT_CFA, SAVED_AT_FP, SAVED_LOST, SAVED_HARD } how;
  int64_t offset;
};

struct row {
  enum { CFA_HARD, CFA_AT, CFA_LOADED } cfa;
  uint64_t reg; /* from which register */
  int64_t offset;
  struct saved fp, ra;
};

struct cie {
  struct reader program;
  uint64_t code_unit;
  int64_t data_unit;
  uint8_t encoding;
};

/* A program is run up to the instruction that is looked for. */
struct machine {
  struct row row, first; /* the latter as the CIE's program left it */
  struct row kept[8];
  unsigned depth;
  uintptr_t at, pc;
};

static void save(struct machine *machine, uint64_t reg, struct saved saved) {
  if (reg == FP) machine->row.fp = saved;
  if (reg == RA) machine->row.ra = saved;
}

static void restore(struct machine *machine, uint64_t reg) {
  if (reg == FP) machine->row.fp = machine->first.fp;
  if (reg == RA) machine->row.ra = machine->first.ra;
}

static void define_cfa(struct machine *machine, uint64_t reg, int64_t offset) {
  machine->row.cfa = CFA_AT;
  machine->row.reg = reg;
  machine->row.offset = offset;
}

/* Of expressions (DWARF 5, 2.5) those that functions with a realigned stack have: what is at an
 * offset from the frame pointer, or what is stored there. */
static bool reads_fp(struct reader *reader, int64_t *offset, bool *loaded) {
  enum { DW_OP_deref = 0x06, DW_OP_breg0 = 0x70 };
  uint64_t size = read_uleb(reader);
  if (size > (size_t)(reader->end - reader->at)) return reader->hard = true, false;
  struct reader expression = {reader->at, reader->at + size, false};
  reader->at += size;
  if (read_byte(&expression) != DW_OP_breg0 + FP) return false;
  *offset = read_sleb(&expression);
  *loaded = expression.at != expression.end;
  if (*loaded && read_byte(&expression) != DW_OP_deref) return false;
  return expression.at == expression.end && !expression.hard;
}

static void define_cfa_by_expression(struct machine *machine, struct reader *reader) {
  bool loaded;
  bool simple = reads_fp(reader, &machine->row.offset, &loaded);
  machine->row.cfa = simple && loaded ? CFA_LOADED : CFA_HARD;
  machine->row.reg = FP;
}

static void save_by_expression(struct machine *machine, struct reader *reader, bool is_value) {
  struct saved saved = {SAVED_AT_FP, 0};
  bool loaded = true;
  uint64_t reg = read_uleb(reader);
  bool simple = reads_fp(reader, &saved.offset, &loaded) && !loaded && !is_value;
  save(machine, reg, simple ? saved : (struct saved){SAVED_HARD, 0});
}

static void advance(struct machine *machine, const struct cie *cie, uint64_t units) {
  machine->at += units * cie->code_unit;
}

enum operation { /* DW_CFA_*; the first three have an operand in their low six bits */
                 ADVANCE = 0x40,
                 OFFSET = 0x80,
                 RESTORE = 0xc0,
                 NOP = 0x00,
                 ADVANCE_1 = 0x02,
                 ADVANCE_2 = 0x03,
                 ADVANCE_4 = 0x04,
                 OFFSET_EXTENDED = 0x05,
                 RESTORE_EXTENDED = 0x06,
                 UNDEFINED = 0x07,
                 SAME_VALUE = 0x08,
                 REGISTER = 0x09,
                 REMEMBER = 0x0a,
                 RECALL = 0x0b,
                 CFA = 0x0c,
                 CFA_REGISTER = 0x0d,
                 CFA_OFFSET = 0x0e,
                 CFA_EXPRESSION = 0x0f,
                 EXPRESSION = 0x10,
                 OFFSET_SIGNED = 0x11,
                 CFA_SIGNED = 0x12,
                 CFA_OFFSET_SIGNED = 0x13,
                 VALUE_OFFSET = 0x14,
                 VALUE_OFFSET_SIGNED = 0x15,
                 VALUE_EXPRESSION = 0x16,
                 NEGATE_RA_STATE = 0x2d,
                 ARGUMENTS_SIZE = 0x2e,
};

static void run_extended(struct machine *machine, const struct cie *cie, struct reader *reader,
                         uint8_t operation) {
  struct row *row = &machine->row;
  uint64_t reg;
  switch (operation) {
  case NOP:
  case NEGATE_RA_STATE:
    return; /* a signature is taken off all addresses */
  case ADVANCE_1:
    return advance(machine, cie, read_bytes(reader, 1));
  case ADVANCE_2:
    return advance(machine, cie, read_bytes(reader, 2));
  case ADVANCE_4:
    return advance(machine, cie, read_bytes(reader, 4));
  case OFFSET_EXTENDED:
    reg = read_uleb(reader);
    return save(machine, reg,
                (struct saved){SAVED_AT_CFA, (int64_t)read_uleb(reader) * cie->data_unit});
  case OFFSET_SIGNED:
    reg = read_uleb(reader);
    return save(machine, reg, (struct saved){SAVED_AT_CFA, read_sleb(reader) * cie->data_unit});
  case RESTORE_EXTENDED:
    return restore(machine, read_uleb(reader));
  case UNDEFINED:
    return save(machine, read_uleb(reader), (struct saved){SAVED_LOST, 0});
  case SAME_VALUE:
    return save(machine, read_uleb(reader), (struct saved){SAVED_NOT, 0});
  case REGISTER:
  case VALUE_OFFSET:
  case VALUE_OFFSET_SIGNED:
    save(machine, read_uleb(reader), (struct saved){SAVED_HARD, 0});
    read_uleb(reader); /* as long as a signed one */
    return;
  case REMEMBER:
    if (machine->depth == sizeof machine->kept / sizeof *machine->kept) break;
    machine->kept[machine->depth++] = *row;
    return;
  case RECALL:
    if (!machine->depth) break;
    *row = machine->kept[--machine->depth];
    return;
  case CFA:
    reg = read_uleb(reader);
    return define_cfa(machine, reg, (int64_t)read_uleb(reader));
  case CFA_SIGNED:
    reg = read_uleb(reader);
    return define_cfa(machine, reg, read_sleb(reader) * cie->data_unit);
  case CFA_REGISTER:
    return define_cfa(machine, read_uleb(reader), row->offset);
  case CFA_OFFSET:
    return define_cfa(machine, row->reg, (int64_t)read_uleb(reader));
  case CFA_OFFSET_SIGNED:
    return define_cfa(machine, row->reg, read_sleb(reader) * cie->data_unit);
  case CFA_EXPRESSION:
    return define_cfa_by_expression(machine, reader);
  case EXPRESSION:
  case VALUE_EXPRESSION:
    return save_by_expression(machine, reader, operation == VALUE_EXPRESSION);
  case ARGUMENTS_SIZE:
    read_uleb(reader);
    return;
  }
  reader->hard = true;
}

static void run(struct machine *machine, const struct cie *cie, struct reader *reader) {
  while (reader->at < reader->end && !reader->hard) {
    uint8_t byte = read_byte(reader), operand = byte & 0x3f;
    switch (byte & 0xc0) {
    case ADVANCE:
      advance(machine, cie, operand);
      break;
    case OFFSET:
      save(machine, operand,
           (struct saved){SAVED_AT_CFA, (int64_t)read_uleb(reader) * cie->data_unit});
      break;
    case RESTORE:
      restore(machine, operand);
      break;
    default:
      run_extended(machine, cie, reader, byte);
    }
    if (machine->at > machine->pc) return;
  }
}

/* Entries */

/* What an entry says after its length, which is that of all that follows. */
static struct reader enter(const uint8_t *entry) {
  uint32_t size;
  memcpy(&size, entry, sizeof size);
  bool is_long = size == UINT32_MAX; /* 64-bit DWARF, which no compiler makes here */
  return (struct reader){entry + sizeof size, entry + sizeof size + (is_long ? 0 : size), is_long};
}

/* The augmentation's letters: z, a size; R, the encoding of addresses; P and L, of exceptions; B,
 * of signatures. S, a signal's frame, is another matter, as all registers are saved there. */
static void read_augmentation(struct reader *reader, const char *letters, struct cie *cie) {
  for (; *letters && !reader->hard; letters++) {
    if (*letters == 'z')
      read_uleb(reader);
    else if (*letters == 'R')
      cie->encoding = read_byte(reader);
    else if (*letters == 'P')
      read_stored(reader, read_byte(reader));
    else if (*letters == 'L')
      read_byte(reader);
    else if (*letters != 'B')
      reader->hard = true;
  }
}

static bool read_cie(const uint8_t *entry, struct cie *cie) {
  struct reader reader = enter(entry);
  read_bytes(&reader, 4);
  uint8_t version = read_byte(&reader);
  const char *letters = (const char *)reader.at;
  while (read_byte(&reader)) {
  }
  cie->code_unit = read_uleb(&reader);
  cie->data_unit = read_sleb(&reader);
  if (version == 1 ? read_byte(&reader) != RA : read_uleb(&reader) != RA) return false;
  read_augmentation(&reader, letters, cie);
  cie->program = reader;
  return !reader.hard && *letters == 'z';
}

static struct cfi_rule rule_of(const struct row *row) {
  static const struct cfi_rule hard = {CFI_HARD, 0, 0, 0, false};
  bool loaded = row->cfa == CFA_LOADED;
  enum cfi_cfa cfa = loaded ? CFI_FROM_FP : row->reg == SP ? CFI_BY_SP : CFI_BY_FP;
  if (row->ra.how == SAVED_LOST) return (struct cfi_rule){cfa, 0, 0, 0, true};
  if (row->cfa == CFA_HARD || (row->reg != SP && row->reg != FP)) return hard;
  if (row->ra.how != SAVED_AT_CFA && row->ra.how != SAVED_NOT) return hard;
  if (loaded ? row->fp.how != SAVED_AT_FP : row->fp.how != SAVED_AT_CFA && row->fp.how != SAVED_NOT)
    return hard;
  return (struct cfi_rule){cfa, (int32_t)row->offset, (int32_t)row->fp.offset,
                           (int32_t)row->ra.offset, false};
}

/* The rule that an entry of a function (an FDE) has for an instruction; false where the function is
 * another one. */
static bool find_in(const uint8_t *entry, uintptr_t pc, struct cfi_rule *rule) {
  struct reader reader = enter(entry);
  struct cie cie = {.encoding = 0};
  const uint8_t *back = reader.at;
  struct machine machine = {.pc = pc};
  *rule = (struct cfi_rule){.cfa = CFI_HARD};
  if (!read_cie(back - read_bytes(&reader, 4), &cie)) return true;
  machine.at = read_pointer(&reader, cie.encoding);
  uint64_t size = read_stored(&reader, cie.encoding);
  if (reader.hard) return true;
  if (pc - machine.at >= size) return false;
  uint64_t skipped = read_uleb(&reader);
  if (skipped > (size_t)(reader.end - reader.at)) return true;
  reader.at += skipped;
  run(&machine, &cie, &cie.program);
  machine.first = machine.row;
  run(&machine, &cie, &reader);
  if (!reader.hard && !cie.program.hard) *rule = rule_of(&machine.row);
  return true;
}

/* Of a program or a library (.eh_frame_hdr): a table of all functions, in order of address. */
struct header {
  uint8_t version, eh_frame, count_encoding, table_encoding; /* the encodings of what follows */
  int32_t offset;
  uint32_t count;
  struct {
    int32_t function, entry; /* from the header */
  } table[];
};

static const uint8_t *entry_at(const struct header *header, uintptr_t pc) {
  int64_t place = (int64_t)(pc - (uintptr_t)header);
  uint32_t low = 0, high = header->count;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    *(header->table[middle].function <= place ? &low : &high) = middle;
  }
  bool found = header->count && header->table[low].function <= place;
  return found ? (const uint8_t *)header + header->table[low].entry : NULL;
}

#ifdef DLFO_STRUCT_HAS_EH_DBASE

static const struct header *header_of(uintptr_t pc) {
  struct dl_find_object found;
  return _dl_find_object((void *)pc, &found) ? NULL : found.dlfo_eh_frame;
}

#else

struct search {
  uintptr_t pc;
  const struct header *header;
};

static int look_into(struct dl_phdr_info *info, size_t size, void *context) {
  struct search *search = context;
  const struct header *header = NULL;
  bool covers = false;
  (void)size;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
    uintptr_t start = info->dlpi_addr + segment->p_vaddr;
    if (segment->p_type == PT_LOAD) covers |= search->pc - start < segment->p_memsz;
    if (segment->p_type == PT_GNU_EH_FRAME) header = (const struct header *)start;
  }
  if (covers) search->header = header;
  return covers;
}

static const struct header *header_of(uintptr_t pc) {
  struct search search = {pc, NULL};
  dl_iterate_phdr(look_into, &search);
  return search.header;
}

#endif

/* What linkers write (ld(1), --eh-frame-hdr): offsets of four bytes, the table's from the header.
 */
static bool is_plain(const struct header *header) {
  enum { UDATA4 = 0x03, PCREL_SDATA4 = 0x1b, DATAREL_SDATA4 = 0x3b };
  return header->version == 1 && header->eh_frame == PCREL_SDATA4 &&
         header->count_encoding == UDATA4 && header->table_encoding == DATAREL_SDATA4;
}

bool cfi_find(uintptr_t pc, struct cfi_rule *rule) {
  const struct header *header = header_of(pc);
  *rule = (struct cfi_rule){.cfa = CFI_HARD};
  if (!header) return false;
  if (!is_plain(header)) return true;
  const uint8_t *entry = entry_at(header, pc);
  return entry && find_in(entry, pc, rule);
}
