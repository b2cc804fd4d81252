/* What the options mean (see meanings.h): names and meanings by turns, without pointers, which
 * would have to be relocated in every process. */
#include "base/meanings.h"

#include "base/text.h"

static const char meanings[] =
    "pattern\0"
    "what fresh memory holds\0"
    "threshold\0"
    "requests of this size or more become blocks with guards; smaller ones go to the malloc "
    "underneath\0"
    "guard_pages\0"
    "inaccessible pages on either side of a block\0"
    "guard_small\0"
    "of small requests all, or one in so many, get pages and a guard of their own; 0: none\0"
    "align\0"
    "of blocks that guard_small chooses, where the request leaves it open; less than 16 has a "
    "block end at its guard where its size is no multiple of that\0"
    "side\0"
    "which side of such a block lies at a guard\0"
    "delay\0"
    "how many frees later such a block is inaccessible, at most and some 64 more; 0: at once\0"
    "fill\0"
    "how a block gets its pattern; auto: by what blocks of its size were used for so far\0"
    "small_fill\0"
    "fill small requests too; both: and when they are freed, with the pattern's complement\0"
    "cache_size\0"
    "address space of freed blocks that stays mapped for the next ones\0"
    "retain_size\0"
    "memory of freed blocks that is kept, rewritten with the pattern, for the next ones "
    "(fill=auto)\0"
    "on_free\0"
    "what free does with a block's pages: keep those that are usually written (fill=auto), drop "
    "all, or make them inaccessible until later frees push them out\0"
    "quarantine_size\0"
    "address space of blocks in quarantine; a quarter of reserve at most\0"
    "quarantine_blocks\0"
    "how many blocks are in quarantine at most\0"
    "release_interval\0"
    "how long freed blocks stay mapped, and their memory is kept\0"
    "backend\0"
    "what supplies the pattern; none: memset\0"
    "tag\0"
    "Arm memory tags on blocks, where there are any; auto: by chance, none twice in a row or side "
    "by side\0"
    "tag_check\0"
    "how accesses are checked against tags; asymm: as the processor prefers\0"
    "without\0"
    "kernel features to do without, each by its fallback\0"
    "reserve\0"
    "address space that blocks may lie in; no more is reserved than they need\0"
    "report\0"
    "report faults in the heap, and misuse, with block and call stacks: to standard error, or "
    "there as JSON\0"
    "stacks\0"
    "call stacks of allocations and frees for the report\0"
    "slack_check\0"
    "whether free looks for writes around a block too short to reach its guards; all: around small "
    "ones too, which take 16 bytes more, and in a table 50 to 100\0"
    "trace\0"
    "where allocations are counted by call stack, for patalloc hunt\0"
    "select\0"
    "a file of patalloc hunt's that tells which allocations hold another pattern\0"
    "on_error\0"
    "what follows the report of a misuse\0"
    "sandbox\0"
    "make at once all system calls that malloc does not make, and none later: for programs with a "
    "seccomp filter that is not installed by way of prctl(2)\0"
    "count\0"
    "count small requests and dirtied pages in the stats too\0"
    "stats\0"
    "where the stats go at exit, as JSON\0";

const char *option_meaning(const char *name) {
  const char *at = meanings;
  while (*at) {
    const char *meaning = at + text_length(at) + 1;
    if (text_is(at, name, text_length(name))) return meaning;
    at = meaning + text_length(meaning) + 1;
  }
  return at;
}
