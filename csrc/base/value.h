/* The types of options' values: how one is read, written, copied while others read it, and what is
 * allowed. Pure functions; async-signal-safe. */
#ifndef PATALLOC_VALUE_H
#define PATALLOC_VALUE_H

#include "base/rare.h"
#include "base/text.h"

/* What fresh memory holds: `size` bytes of `word`, repeated to fill the word; or nothing at all. */
struct pattern {
  uint64_t word; /* in this machine's byte order, as it stands in memory */
  uint8_t size;  /* 1, 2, 4 or 8 bytes; 0: no pattern */
};

enum backend_kind {
  BACKEND_AUTO,
  BACKEND_MEMFD,
  BACKEND_ZERO,
  BACKEND_DEVICE,
  BACKEND_NONE,
  BACKEND_UFFD,
  BACKEND_WRAP,
  BACKEND_SYSCALL
};

struct backend {
  int kind;
  long number; /* of the system call, for BACKEND_SYSCALL */
};

enum { TAG_OFF = -1, TAG_AUTO = -2 }; /* of all blocks, where it is no tag */

/* In a number of stacks: frames, and above them of one block in how many they are. */
enum { STACKS_EVERY_SHIFT = 8 };
enum { DESTINATION_MOST = 256 }; /* bytes of its text, the NUL included */

/* What the table says of one option; its value is the `offset`-th byte of the options and on. */
struct rule {
  char name[20], preset[8]; /* in place, as pointers are relocated; meanings.h has what it means */
  const struct value_type *type;
  union {
    struct {
      uint64_t least, most; /* of numbers */
    };
    const char *const *choices; /* words, NULL-ended */
  };
  uint16_t offset;
  bool changes; /* in a heap that is in use */
};

struct value_type {
  /* False for what is not allowed: the value is as it was. */
  bool (*parse)(const struct rule *rule, const char *string, size_t length, void *value);
  void (*format)(const void *value, const struct rule *rule, struct text *text);
  void (*copy)(void *value, const void *from);
  void (*describe)(const struct rule *rule, struct text *text); /* what is allowed */
};

/* Each says of which C type a value is. */
extern const struct value_type value_pattern;     /* struct pattern */
extern const struct value_type value_size;        /* _Atomic size_t, in bytes */
extern const struct value_type value_count;       /* _Atomic size_t */
extern const struct value_type value_interval;    /* _Atomic int64_t, milliseconds or -1 */
extern const struct value_type value_choice;      /* _Atomic int: which of the words */
extern const struct value_type value_backend;     /* struct backend */
extern const struct value_type value_features;    /* _Atomic uint32_t: a bit for each */
extern const struct value_type value_tag;         /* _Atomic int */
extern const struct value_type value_sample;      /* _Atomic uint32_t: one in so many */
extern const struct value_type value_stacks;      /* _Atomic uint32_t */
extern const struct value_type value_destination; /* char[DESTINATION_MOST] */

/* What the features' bits are called, NULL-ended; to be said before options are parsed. */
void value_name_features(const char *const *names);

#endif
