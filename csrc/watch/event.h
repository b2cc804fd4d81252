/* Events: what went wrong in a heap, and where, as far as the records tell. */
#ifndef PATALLOC_EVENT_H
#define PATALLOC_EVENT_H

#include "blocks/slot.h"
#include "watch/history.h"
#include "watch/ledger.h"
#include "watch/stack.h"

enum event_kind {
  EVENT_OVERFLOW,
  EVENT_UNDERFLOW,
  EVENT_USE_AFTER_FREE,
  EVENT_WILD_ACCESS, /* an address in the heap, but of no block, or one that may not be accessed so
                      */
  EVENT_TAG_MISMATCH,
  EVENT_DOUBLE_FREE,
  EVENT_INVALID_FREE,
  EVENT_MISMATCH, /* a block is given back otherwise than it was requested */
  EVENT_LEAK,     /* blocks that nobody has freed, and nothing points to */
  EVENT_STILL_REACHABLE,
  /* What a process dies of otherwise (death.h): */
  EVENT_NULL,
  EVENT_STACK_OVERFLOW,
  EVENT_WILD_JUMP,
  EVENT_UNINITIALISED, /* a pointer that was read where nothing had been written */
  EVENT_ABORT,
  EVENT_SIGNAL,
};

enum event_place { PLACE_UNKNOWN, PLACE_BEFORE, PLACE_INSIDE, PLACE_AFTER };

struct mismatch {
  const char *origin;                 /* the function that the block came from */
  uint64_t alignment, told_alignment; /* that was asked for then, and is now; 0: none */
  bool is_sized;                      /* whether another size is told than it has: */
  uint64_t told_size;
};

/* A register that points into a block, or near one; as in struct event. */
struct death_register {
  const char *name;
  uintptr_t value, block;
  uint64_t size, distance;
  enum event_place place;
  bool live;
  struct history history; /* a size of 0: not recorded, or told with another register */
};

enum { DEATH_REGISTERS = 16 };
struct death {
  char cause[768]; /* of a sentence what follows its kind */
  unsigned count;
  struct death_register list[DEATH_REGISTERS];
};

/* Of a call stack: how many blocks, and their bytes. */
struct leaked {
  uint64_t blocks, bytes;
};

struct event {
  enum event_kind kind;
  const char *access;     /* read, write, execute or access; NULL: none was made */
  const char *call;       /* of the family, that found it; NULL: a fault did */
  int signal;             /* that the fault is; 0: none */
  uintptr_t address;      /* that was accessed or passed, with its tag; 0: not known */
  int tags[2];            /* of a mismatch: the pointer's and the memory's; else -1 */
  enum event_place place; /* of the address, from the block; unknown: there is none near */
  uint64_t distance; /* 1 for the first byte before or after the block, 0 for its first inside */
  uintptr_t block;   /* its address */
  uint64_t size;     /* its bytes, as requested */
  bool live;         /* it was when this was noticed */
  bool foreign;      /* it is another heap's than the one that was called */
  bool released;     /* its address space has been released since */
  bool refused;      /* the kernel refused the call the access, and no harm was done */
  bool begun;        /* but for a part */
  struct history history; /* of it; a size of 0: not recorded */
  unsigned found;         /* of the bytes there, how many are given, where they were overwritten */
  unsigned char bytes[16];
  struct mismatch mismatch;  /* of that kind only */
  struct leaked leaked;      /* of those kinds, of which the block is one */
  const struct death *death; /* NULL: the process does not die, or of what is told above */
  unsigned left_out;         /* calls that the stack lacks, before its last STACK_LAST */
  struct stack stack;        /* of the access or call */
};

/* A fault inside the region. */
void event_of_fault(struct event *event, int signal, const char *access, uintptr_t address);

/* The fault is one of memory tags. */
void event_set_tags(struct event *event);

/* A block that was never freed, with the stack of its allocation. */
void event_of_leak(struct event *event, uintptr_t block, uint64_t size, uint32_t stack);

/* `call` was refused these bytes by the kernel, which was to access them so, but for as many as are
 * `done`; false where no block's end is the reason. */
bool event_of_refusal(struct event *event, const char *call, const char *access, uintptr_t start,
                      size_t size, size_t done);

/* `call` was given an address that is no live block of the heap with these options. */
void event_of_misuse(struct event *event, const struct options *options, const char *call,
                     const void *pointer);

/* It was given a live block that another one should be given: a small one of the primary's, or
 * NULL. In what is for the caller to say. */
void event_of_mismatch(struct event *event, const struct options *options, const char *call,
                       const void *pointer, const struct small_block *block);

/* `call` found that bytes around a live block were overwritten: those of [from, end). */
void event_of_overwrite(struct event *event, const char *call, uint32_t granule, uintptr_t from,
                        uintptr_t end);

/* The same of a block in a slot. */
void event_of_slot_overwrite(struct event *event, const char *call, uint32_t slot, uintptr_t from,
                             uintptr_t end);

/* And that a freed one was written to. */
void event_of_slot_written(struct event *event, const char *call,
                           const struct slot_written *written);

/* The same two of a small block of the primary's; or such a block was freed already. */
void event_of_small_overwrite(struct event *event, const char *call,
                              const struct small_block *block, uintptr_t from, uintptr_t end);
void event_of_small_written(struct event *event, const char *call, const struct small_block *block,
                            uintptr_t from, uintptr_t end);
void event_of_small(struct event *event, const struct small_block *block, uintptr_t address);
void event_of_freed_small(struct event *event, const char *call, const struct small_block *block);

#endif
