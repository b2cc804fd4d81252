/* Codes: what fresh memory can hold in a hunt, so that each word of it tells whose it is. A word is
 * made of its block's key (of a salt, the allocation's call stack and its number there) and of its
 * place in the block. No byte of it is 0; as a float, a double and an integer it is large and
 * finite; and negative where the salt is odd. Bytes that are not what they were were written: of
 * those that were one in 256 is as it was by chance. Pure functions; async-signal-safe. */
#ifndef PATALLOC_CODE_H
#define PATALLOC_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `stack` is its identity (stack.h). */
uint64_t code_key(uint64_t salt, uint64_t stack, uint64_t number);

/* The word at this place, counted in words. */
uint64_t code_word(uint64_t key, uint64_t place);

/* Fills [from, end) of the block. */
void code_fill(uint64_t key, void *block, size_t from, size_t end);

/* The bytes of a block that are as code_fill has left them, or with `repeats` as the first word of
 * the code all over; none alone or in pairs where the block is so large that they are chance.
 * Returns how many ranges there are: of those beyond `most` the last one reaches to the end. */
struct range {
  uint64_t from, to;
};
size_t code_left(uint64_t key, bool repeats, const void *block, size_t size, struct range *ranges,
                 size_t most);

/* The first place from `from` on at which there are three bytes, as a number, whose bit is set;
 * `size` for none. */
size_t code_search(const void *bytes, size_t size, size_t from, const unsigned char *bits);

#endif
