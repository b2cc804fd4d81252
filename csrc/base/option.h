/* Options: one table of names, defaults and meanings, which the parser, the environment, Python's
 * Config, `patalloc options` and the README all come from. Pure functions; no state. */
#ifndef PATALLOC_OPTION_H
#define PATALLOC_OPTION_H

#include "base/rare.h"
#include "base/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum align { ALIGN_16, ALIGN_8, ALIGN_4, ALIGN_2, ALIGN_1 }; /* log2(16) less it */
enum side { SIDE_RIGHT, SIDE_LEFT, SIDE_RANDOM };
enum fill { FILL_AUTO, FILL_REFPAGE, FILL_MEMSET };
enum small_fill { SMALL_FILL_NO, SMALL_FILL_YES, SMALL_FILL_BOTH };
enum on_free { ON_FREE_RETAIN, ON_FREE_RESET, ON_FREE_QUARANTINE };
enum on_error { ON_ERROR_ABORT, ON_ERROR_CONTINUE };
enum on_fault { ON_FAULT_DIE, ON_FAULT_CONTINUE };
enum slack_check { SLACK_NO, SLACK_LARGE, SLACK_ALL };
/* How accesses are checked against memory tags; asymm: in the processor's preferred mode. */
enum tag_check { TAG_CHECK_SYNC, TAG_CHECK_ASYNC, TAG_CHECK_ASYMM };
enum leaks { LEAKS_NO, LEAKS_YES, LEAKS_ALL };
/* Atomic, as some may be changed at any time (options_change); value.h says which type has what. */
struct options {
  struct pattern pattern;
  _Atomic size_t threshold;     /* bytes: larger requests are ours, smaller ones the primary's */
  _Atomic size_t guard_pages;   /* on either side of a block */
  _Atomic uint32_t guard_small; /* of how many small requests one is guarded; 0: none */
  _Atomic size_t cache_size;    /* bytes of idle spans that stay mapped */
  _Atomic size_t retain_size;   /* bytes of freed blocks' pages that are kept */
  _Atomic size_t quarantine_size, quarantine_blocks; /* what a quarantine holds at most */
  _Atomic int64_t release_interval; /* milliseconds that they stay mapped; -1: until the cache is
                                       full */
  _Atomic size_t reserve;           /* bytes of address space */
  struct backend backend;
  _Atomic uint32_t without; /* a bit for each kernel feature that is not to be used */
  _Atomic int tag;          /* of every block, 0 to 15; or TAG_OFF, TAG_AUTO */
  _Atomic size_t delay;     /* frees that a block in a slot is accessible for, at most */
  _Atomic int align, side;  /* of such blocks: the enums above */
  _Atomic int fill, tag_check, slack_check, small_fill, on_free, on_error,
      on_fault;            /* the enums above */
  _Atomic uint32_t stacks; /* frames of a call stack, and above them: of one block in so many */
  _Atomic int leaks;       /* enum leaks */
  _Atomic int headlines;   /* whether the sentence of a report that goes elsewhere is said, too */
  _Atomic int sandbox;     /* whether the program is about to sandbox itself */
  _Atomic int count;       /* whether to count small requests and dirty pages too */
  char stats[DESTINATION_MOST];  /* where JSON goes at exit: a path, or fd:N; empty: nowhere */
  char report[DESTINATION_MOST]; /* no, yes, or where JSON goes */
  char trace[DESTINATION_MOST];  /* where allocations are counted, and */
  char select[DESTINATION_MOST]; /* where it stands which hold another pattern; empty: nowhere */
  char record[DESTINATION_MOST]; /* a directory, where requests are recorded; likewise */
  char guard_sites[DESTINATION_MOST]; /* where it stands which small ones are guarded; likewise */
};

/* The pattern now. Its word and size are read by themselves: while it changes they may be of two
 * patterns, of which neither is none. */
static inline struct pattern options_pattern(const struct options *options) {
  return (struct pattern){__atomic_load_n(&options->pattern.word, __ATOMIC_RELAXED),
                          __atomic_load_n(&options->pattern.size, __ATOMIC_RELAXED)};
}

struct option_text {
  const char *name, *preset, *meaning;
};
enum { OPTIONS_MOST = 40 };
/* False past the last; else what is allowed is written to `allowed`, too. */
RARE bool option_describe(int index, struct option_text *option, struct text *allowed);

void options_default(struct options *options);

/* Applies "key=value:key=value" to *options. A ':' starts a new option only where "name=" follows,
 * so that values such as fd:2 hold one. Every good option is applied; of bad ones `complaint` gets
 * one line each, and their values stay as they were. Returns whether all were good. */
bool options_parse(struct options *options, const char *string, struct text *complaint);

/* Applies such a string to the options of a heap that is in use. All of them change, or none where
 * one is bad or may not change any more: then `complaint` gets a line for each such one. */
RARE bool options_change(struct options *options, const char *string, struct text *complaint);

/* Whether faults and misuse are reported in full. */
static inline bool options_report(const struct options *options) {
  return !text_is("no", options->report, text_length(options->report));
}

/* Whether any small requests are guarded, or which: all, and not a sample of them. */
static inline bool options_guard_small(const struct options *options) {
  return options->guard_small || *options->guard_sites;
}
static inline bool options_sample(const struct options *options) {
  return options->guard_small != 1 && !*options->guard_sites;
}

/* All of them as options_parse takes them, with `between` between two. */
RARE void options_format(const struct options *options, const char *between, struct text *text);

#endif
