/* The residue: what of fresh memory is never written. Blocks that hold their codes (code.h) are
 * known from their allocation on, and looked at when they are freed and at the end; what is still
 * as it was is recorded in a file, which src/patalloc/hunt/residue.py reads. Its memory is taken
 * once, whether any block is known or not, so that a program's own lies where it did.
 *
 * Any thread, without locks. Async-signal-safe; a forked child goes on in its parent's file. */
#ifndef PATALLOC_RESIDUE_H
#define PATALLOC_RESIDUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Opens the file. False with errno where that can't be made. */
bool residue_start(const char *destination);

struct known_block {
  uintptr_t address;
  uint64_t size, stack, number; /* of the allocation: the stack's identity */
  uint64_t key;
  bool repeats; /* as code_left has it */
};

/* In place of one with this address, which is looked at. Where there is no room it is not known. */
void residue_know(const struct known_block *block);

/* Looks at it, if it is known, and forgets it; so with all. */
void residue_look(const void *pointer);
void residue_look_at_all(void);

#endif
