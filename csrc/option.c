/* The table of options and its parser (see option.h). */
#include "option.h"

#include <string.h>

enum type {
  PATTERN,
  SIZE,
  COUNT,
  INTERVAL,
  FLAG,
  CHOICE,
  BACKEND,
  FEATURES,
  TAG,
  STACKS,
  DESTINATION
};

static const char *const fills[] = {"auto", "refpage", "memset", NULL};
static const char *const backends[] = {"auto", "memfd", "zero", "device", "none", "uffd", NULL};
static const char *const small_fills[] = {"no", "yes", "both", NULL};
static const char *const on_frees[] = {"retain", "reset", "quarantine", NULL};
static const char *const slack_checks[] = {"no", "large", "all", NULL};
static const char *const errors[] = {"abort", "continue", NULL};
static const char *const tag_checks[] = {"sync", "async", "asymm", NULL};
static const char *const flags[] = {"no", "yes", NULL};

#define PATTERN_ALLOWED                                                                            \
  "a byte (0xab, 171), a value of 2, 4 or 8 bytes in hex (0xdeadbeef), zero or none"
#define FEATURES_ALLOWED                                                                           \
  "none, or names joined by commas, of: memfd, mremap_dontunmap, "                                 \
  "guard_regions, dontneed_locked, process_madvise, pagemap_scan, proc, populate, huge_pages, "    \
  "device, userfaultfd, mte, tag_refpages"
#define SIZE_ALLOWED "a number of bytes, or with K, M, G or T"
#define FLAG_ALLOWED "yes or no"

static const struct rule {
  struct option_text text;
  enum type type;
  uint16_t offset;
  bool changes; /* in a heap that is in use */
  uint64_t least, most;
  const char *const *choices;
} rules[] = {
    {{"pattern", "0xab", PATTERN_ALLOWED, "what fresh memory holds"},
     PATTERN,
     offsetof(struct options, pattern),
     false,
     0,
     0,
     NULL},
    {{"threshold", "128K", SIZE_ALLOWED ", 4K to 1T",
      "requests of this size or more become blocks with guards; smaller ones go to the malloc "
      "underneath"},
     SIZE,
     offsetof(struct options, threshold),
     true,
     4096,
     (uint64_t)1 << 40,
     NULL},
    {{"guard_pages", "1", "0 to 64", "inaccessible pages on either side of a block"},
     COUNT,
     offsetof(struct options, guard_pages),
     false,
     0,
     64,
     NULL},
    {{"fill", "auto", "auto, refpage or memset",
      "how a block gets its pattern; auto: by what blocks of its size were used for so far"},
     CHOICE,
     offsetof(struct options, fill),
     false,
     0,
     0,
     fills},
    {{"small_fill", "yes", "no, yes or both",
      "fill small requests too; both: and when they are freed, with the pattern's complement"},
     CHOICE,
     offsetof(struct options, small_fill),
     true,
     0,
     0,
     small_fills},
    {{"cache_size", "4G", SIZE_ALLOWED ", 0 to 64T",
      "address space of freed blocks that stays mapped for the next ones"},
     SIZE,
     offsetof(struct options, cache_size),
     true,
     0,
     (uint64_t)1 << 46,
     NULL},
    {{"retain_size", "512M", SIZE_ALLOWED ", 0 to 64T",
      "memory of freed blocks that is kept, rewritten with the pattern, for the next ones "
      "(fill=auto)"},
     SIZE,
     offsetof(struct options, retain_size),
     true,
     0,
     (uint64_t)1 << 46,
     NULL},
    {{"on_free", "retain", "retain, reset or quarantine",
      "what free does with a block's pages: keep those that are usually written (fill=auto), drop "
      "all, or make them inaccessible until later frees push them out"},
     CHOICE,
     offsetof(struct options, on_free),
     true,
     0,
     0,
     on_frees},
    {{"quarantine_size", "16G", SIZE_ALLOWED ", 0 to 64T",
      "address space of blocks in quarantine; a quarter of reserve at most"},
     SIZE,
     offsetof(struct options, quarantine_size),
     true,
     0,
     (uint64_t)1 << 46,
     NULL},
    {{"quarantine_blocks", "16384", "0 to 1000000", "how many blocks are in quarantine at most"},
     COUNT,
     offsetof(struct options, quarantine_blocks),
     true,
     0,
     1000000,
     NULL},
    {{"release_interval", "1000", "milliseconds, 0 to 86400000, or -1 for never",
      "how long freed blocks stay mapped, and their memory is kept"},
     INTERVAL,
     offsetof(struct options, release_interval),
     true,
     0,
     86400000,
     NULL},
    {{"backend", "auto", "auto, memfd, zero (pattern 0 only), device, uffd, syscall:NR or none",
      "what supplies the pattern; none: memset"},
     BACKEND,
     offsetof(struct options, backend),
     false,
     0,
     0,
     backends},
    {{"tag", "off", "auto, off, or 0 to 15",
      "Arm memory tags on blocks, where there are any; auto: by chance, none twice in a row "
      "or side by side"},
     TAG,
     offsetof(struct options, tag),
     false,
     0,
     15,
     NULL},
    {{"tag_check", "sync", "sync, async or asymm",
      "how accesses are checked against tags; asymm: as the processor prefers"},
     CHOICE,
     offsetof(struct options, tag_check),
     false,
     0,
     0,
     tag_checks},
    {{"without", "none", FEATURES_ALLOWED, "kernel features to do without, each by its fallback"},
     FEATURES,
     offsetof(struct options, without),
     false,
     0,
     0,
     NULL},
    {{"reserve", "64T", SIZE_ALLOWED ", 64M to 64T",
      "address space set aside for blocks; costs no memory"},
     SIZE,
     offsetof(struct options, reserve),
     false,
     1 << 26,
     (uint64_t)1 << 46,
     NULL},
    {{"report", "no", "no, yes, a path, in which %p is the process's number, or fd:N",
      "report faults in the heap, and misuse, with block and call stacks: to standard error, or "
      "there as JSON"},
     DESTINATION,
     offsetof(struct options, report),
     false,
     0,
     0,
     NULL},
    {{"stacks", "0", "0 to 64 frames, or frames/K: of one block in K",
      "call stacks of allocations and frees for the report"},
     STACKS,
     offsetof(struct options, stacks),
     true,
     0,
     64,
     NULL},
    {{"slack_check", "no", "no, large or all",
      "whether free looks for writes around a block too short to reach its guards; all: around "
      "small ones too, which take 24 bytes more"},
     CHOICE,
     offsetof(struct options, slack_check),
     false,
     0,
     0,
     slack_checks},
    {{"trace", "", "a path, in which %p is the process's number, or fd:N",
      "where allocations are counted by call stack, for patalloc hunt"},
     DESTINATION,
     offsetof(struct options, trace),
     false,
     0,
     0,
     NULL},
    {{"select", "", "a path, in which %p is the process's number, or fd:N",
      "a file of patalloc hunt's that tells which allocations hold another pattern"},
     DESTINATION,
     offsetof(struct options, select),
     false,
     0,
     0,
     NULL},
    {{"on_error", "abort", "abort or continue", "what follows the report of a misuse"},
     CHOICE,
     offsetof(struct options, on_error),
     true,
     0,
     0,
     errors},
    {{"count", "no", FLAG_ALLOWED, "count small requests and dirtied pages in the stats too"},
     FLAG,
     offsetof(struct options, count),
     true,
     0,
     0,
     flags},
    {{"stats", "", "a path, in which %p is the process's number, or fd:N",
      "where the stats go at exit, as JSON"},
     DESTINATION,
     offsetof(struct options, stats),
     false,
     0,
     0,
     NULL},
};
enum { OPTIONS = sizeof rules / sizeof *rules };

const struct option_text *option_text(int index) {
  return index >= 0 && index < OPTIONS ? &rules[index].text : NULL;
}

/* Values */

static int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 16;
}

/* Reads the leading number in base 10 or, after 0x, 16; returns how many digits it has, 0 for none
 * or too many. */
static size_t read_number(const char **text, const char *end, uint64_t *number) {
  int base = 10;
  if (end - *text > 2 && (*text)[0] == '0' && ((*text)[1] | 32) == 'x') base = 16, *text += 2;
  size_t digits = 0;
  for (*number = 0; *text < end && digit_of(**text) < base; ++*text, digits++)
    if (__builtin_mul_overflow(*number, (uint64_t)base, number) ||
        __builtin_add_overflow(*number, (uint64_t)digit_of(**text), number))
      return 0;
  return digits;
}

static struct pattern pattern_of(uint64_t value, uint8_t size) {
  for (unsigned bits = size * 8u; bits < 64; bits *= 2) value |= value << bits;
  return (struct pattern){value, size};
}

/* The number of hex digits, and for decimals the magnitude, says how wide the value is. */
static bool parse_pattern(const char *value, size_t length, struct pattern *pattern) {
  if (text_is("none", value, length)) return *pattern = (struct pattern){0, 0}, true;
  if (text_is("zero", value, length)) return *pattern = (struct pattern){0, 1}, true;
  const char *end = value + length, *at = value;
  bool hex = length > 1 && (value[1] | 32) == 'x';
  uint64_t number;
  size_t digits = read_number(&at, end, &number);
  if (!digits || at != end || digits > (hex ? 16u : 20u)) return false;
  size_t bytes = hex ? (digits + 1) / 2 : 1;
  if (!hex && number > 0xff) return false;
  uint8_t size = 1;
  while (size < bytes) size *= 2;
  *pattern = pattern_of(number, size);
  return true;
}

static bool parse_size(const char *value, size_t length, uint64_t *size) {
  const char *at = value, *end = value + length;
  if (!read_number(&at, end, size)) return false;
  if (at == end) return true;
  size_t unit = text_until("KMGT", 4, (char)(*at & ~0x20)); /* in upper case */
  if (unit == 4 || at + 1 != end) return false;
  unsigned shift = 10 * (unsigned)(1 + unit);
  if (*size > UINT64_MAX >> shift) return false;
  *size <<= shift;
  return true;
}

static bool parse_choice(const char *value, size_t length, const char *const *choices,
                         int *choice) {
  for (int i = 0; choices[i]; i++)
    if (text_is(choices[i], value, length)) return *choice = i, true;
  return false;
}

static bool parse_backend(const char *value, size_t length, struct options *options) {
  const char *at = text_past(value, "syscall:");
  if (!at) return parse_choice(value, length, backends, &options->backend);
  uint64_t number;
  if (!read_number(&at, value + length, &number) || at != value + length || number > INT32_MAX)
    return false;
  options->backend = BACKEND_SYSCALL;
  options->syscall_number = (long)number;
  return true;
}

static bool parse_features(const char *value, size_t length, uint32_t *features) {
  uint32_t chosen = 0;
  if (text_is("none", value, length)) return *features = 0, true;
  for (const char *end = value + length; value <= end;) {
    size_t name = text_until(value, (size_t)(end - value), ',');
    int feature = 0;
    while (feature < OS_FEATURES && !text_is(os_feature_texts[feature].name, value, name))
      feature++;
    if (feature == OS_FEATURES) return false;
    chosen |= 1u << feature;
    value += name + 1;
  }
  *features = chosen;
  return true;
}

static bool parse_tag(const char *value, size_t length, uint64_t most, int *tag) {
  const char *at = value;
  uint64_t number;
  if (text_is("off", value, length)) return *tag = TAG_OFF, true;
  if (text_is("auto", value, length)) return *tag = TAG_AUTO, true;
  if (!read_number(&at, value + length, &number) || at != value + length || number > most)
    return false;
  *tag = (int)number;
  return true;
}

/* As options->stacks holds it: the number of frames, and of how many blocks one, above. */
static bool parse_stacks(const char *value, size_t length, uint64_t most,
                         _Atomic uint32_t *stacks) {
  const char *at = value, *end = value + length;
  uint64_t frames, every = 1, every_most = UINT32_MAX >> STACKS_EVERY_SHIFT;
  if (!read_number(&at, end, &frames) || frames > most) return false;
  if (at < end && (*at++ != '/' || !read_number(&at, end, &every) || !every || every > every_most))
    return false;
  *stacks = (uint32_t)(frames | every << STACKS_EVERY_SHIFT);
  return at == end;
}

static bool parse_destination(const char *value, size_t length, char *destination) {
  uint64_t descriptor;
  const char *at = text_past(value, "fd:");
  if (length >= DESTINATION_MOST) return false;
  if (at && (!read_number(&at, value + length, &descriptor) || at != value + length ||
             descriptor > INT32_MAX))
    return false;
  memcpy(destination, value, length);
  destination[length] = 0;
  return true;
}

static bool parse_value(struct options *options, int index, const char *value, size_t length) {
  void *field = (char *)options + rules[index].offset;
  int choice;
  uint64_t number;
  const char *at = value;
  switch (rules[index].type) {
  case PATTERN:
    return parse_pattern(value, length, field);
  case CHOICE:
    return parse_choice(value, length, rules[index].choices, field);
  case BACKEND:
    return parse_backend(value, length, options);
  case FEATURES:
    return parse_features(value, length, field);
  case TAG:
    return parse_tag(value, length, rules[index].most, field);
  case STACKS:
    return parse_stacks(value, length, rules[index].most, field);
  case DESTINATION:
    return parse_destination(value, length, field);
  case FLAG:
    if (!parse_choice(value, length, rules[index].choices, &choice)) return false;
    *(bool *)field = choice;
    return true;
  case INTERVAL:
    if (text_is("-1", value, length)) return *(int64_t *)field = -1, true;
    if (!read_number(&at, value + length, &number) || at != value + length ||
        number > rules[index].most)
      return false;
    *(int64_t *)field = (int64_t)number;
    return true;
  case SIZE:
  case COUNT:
    if (!parse_size(value, length, &number) || number < rules[index].least ||
        number > rules[index].most)
      return false;
    *(size_t *)field = number;
    return true;
  }
  return false;
}

/* The string */

static bool starts_option(const char *text) {
  const char *at = text;
  while ((*at >= 'a' && *at <= 'z') || *at == '_') at++;
  return at > text && *at == '=';
}

static const char *end_of_option(const char *text) {
  while (*text && !(*text == ':' && (!text[1] || starts_option(text + 1)))) text++;
  return text;
}

RARE static void complain(struct text *complaint, const char *option, size_t length,
                          const char *because) {
  text_string(complaint, complaint->length ? "\n" : "");
  text_span(complaint, option, length);
  text_string(complaint, ": ");
  text_string(complaint, because);
}

RARE static void list_names(struct text *text, bool changes) {
  bool first = true;
  for (int i = 0; i < OPTIONS; i++) {
    if (changes && !rules[i].changes) continue;
    text_string(text, first ? "" : ", ");
    text_string(text, rules[i].text.name);
    first = false;
  }
}

static bool parse_option(struct options *options, const char *option, size_t length,
                         struct text *complaint) {
  size_t name = text_until(option, length, '=');
  bool equals = name < length;
  int index = 0;
  while (index < OPTIONS && !text_is(rules[index].text.name, option, name)) index++;
  if (!equals || index == OPTIONS) {
    complain(complaint, option, length,
             equals ? "no such option; allowed: " : "not key=value; allowed keys: ");
    list_names(complaint, false);
    return false;
  }
  if (parse_value(options, index, option + name + 1, length - name - 1)) return true;
  complain(complaint, option, length, "bad value; allowed: ");
  text_string(complaint, rules[index].text.allowed);
  return false;
}

static bool parse_all(struct options *options, const char *string, struct text *complaint) {
  bool good = true;
  while (*string) {
    const char *end = end_of_option(string);
    good &= parse_option(options, string, (size_t)(end - string), complaint);
    string = *end ? end + 1 : end;
  }
  return good;
}

bool options_parse(struct options *options, const char *string, struct text *complaint) {
  bool good = parse_all(options, string, complaint);
  if (options->backend != BACKEND_ZERO || (options->pattern.size && !options->pattern.word))
    return good;
  options->backend = BACKEND_AUTO;
  complain(complaint, "backend=zero", text_length("backend=zero"),
           "bad value; allowed with pattern=zero only");
  return false;
}

void options_default(struct options *options) {
  memset(options, 0, sizeof *options);
  for (int i = 0; i < OPTIONS; i++)
    parse_value(options, i, rules[i].text.preset, text_length(rules[i].text.preset));
}

/* Change */

RARE static bool same(const struct options *a, const struct options *b, int index) {
  char one[DESTINATION_MOST + 32], other[DESTINATION_MOST + 32];
  struct text first = TEXT(one), second = TEXT(other);
  one[0] = other[0] = 0;
  options_format(a, index, &first);
  options_format(b, index, &second);
  return text_is(one, other, text_length(other));
}

RARE static void copy_field(struct options *options, const struct options *from, int index) {
  size_t offset = rules[index].offset;
  void *field = (char *)options + offset;
  const void *value = (const char *)from + offset;
  switch (rules[index].type) {
  case SIZE:
  case COUNT:
    *(_Atomic size_t *)field = *(const size_t *)value;
    break;
  case INTERVAL:
    *(_Atomic int64_t *)field = *(const int64_t *)value;
    break;
  case CHOICE:
    *(_Atomic int *)field = *(const int *)value;
    break;
  case FLAG:
    *(_Atomic bool *)field = *(const bool *)value;
    break;
  default:
    *(_Atomic uint32_t *)field = *(const uint32_t *)value;
  }
}

bool options_change(struct options *options, const char *string, struct text *complaint) {
  struct options changed = *options;
  bool good = options_parse(&changed, string, complaint);
  for (int i = 0; i < OPTIONS; i++) {
    if (rules[i].changes || same(options, &changed, i)) continue;
    const char *name = rules[i].text.name;
    complain(complaint, name, text_length(name),
             "can't be changed once the heap is made, or the program started; can be: ");
    list_names(complaint, true);
    good = false;
  }
  for (int i = 0; good && i < OPTIONS; i++)
    if (rules[i].changes) copy_field(options, &changed, i);
  return good;
}

bool options_use(const struct options *options, enum os_feature feature) {
  if (feature == OS_USERFAULTFD && options->backend != BACKEND_UFFD) return false;
  return !(options->without >> feature & 1) && os_has(feature);
}

void options_format(const struct options *options, int index, struct text *value) {
  const void *field = (const char *)options + rules[index].offset;
  const struct pattern *pattern = &options->pattern;
  bool first = true;
  switch (rules[index].type) {
  case PATTERN:
    if (!pattern->size) {
      text_string(value, "none");
    } else {
      uint64_t mask = UINT64_MAX >> (64 - 8 * pattern->size);
      text_hex(value, pattern->word & mask, 2u * pattern->size);
    }
    break;
  case CHOICE:
    text_string(value, rules[index].choices[*(const int *)field]);
    break;
  case FLAG:
    text_string(value, rules[index].choices[*(const bool *)field]);
    break;
  case TAG:
    if (options->tag >= 0)
      text_decimal(value, (uint64_t)options->tag);
    else
      text_string(value, options->tag == TAG_AUTO ? "auto" : "off");
    break;
  case STACKS:
    text_decimal(value, options->stacks & ((1u << STACKS_EVERY_SHIFT) - 1));
    if (options->stacks >> STACKS_EVERY_SHIFT == 1) break;
    text_string(value, "/");
    text_decimal(value, options->stacks >> STACKS_EVERY_SHIFT);
    break;
  case DESTINATION:
    text_string(value, field);
    break;
  case SIZE:
  case COUNT:
    text_decimal(value, *(const size_t *)field);
    break;
  case INTERVAL:
    text_string(value, options->release_interval < 0 ? "-" : "");
    text_decimal(value, (uint64_t)(options->release_interval < 0 ? 1 : options->release_interval));
    break;
  case BACKEND:
    if (options->backend == BACKEND_SYSCALL) {
      text_string(value, "syscall:");
      text_decimal(value, (uint64_t)options->syscall_number);
    } else {
      text_string(value, backends[options->backend]);
    }
    break;
  case FEATURES:
    for (int i = 0; i < OS_FEATURES; i++) {
      if (!(options->without >> i & 1)) continue;
      text_string(value, first ? "" : ",");
      text_string(value, os_feature_texts[i].name);
      first = false;
    }
    text_string(value, first ? "none" : "");
    break;
  }
}
