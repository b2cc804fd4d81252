/* The table of options, and strings of them (see option.h). */
#include "base/option.h"

#include <string.h>

static const char *const fills[] = {"auto", "refpage", "memset", NULL};
static const char *const backends[] = {"auto", "memfd", "zero", "device", "none", "uffd", NULL};
static const char *const small_fills[] = {"no", "yes", "both", NULL};
static const char *const on_frees[] = {"retain", "reset", "quarantine", NULL};
static const char *const slack_checks[] = {"no", "large", "all", NULL};
static const char *const errors[] = {"abort", "continue", NULL};
static const char *const tag_checks[] = {"sync", "async", "asymm", NULL};
static const char *const flags[] = {"no", "yes", NULL};

#define AT(field) .offset = offsetof(struct options, field)
#define TERA      ((uint64_t)1 << 40)

static const struct rule rules[] = {
    {AT(pattern), .name = "pattern", .preset = "0xab", .type = &value_pattern,
     .meaning = "what fresh memory holds"},
    {AT(threshold), .name = "threshold", .preset = "128K", .type = &value_size, .least = 4096,
     .most = TERA, .changes = true,
     .meaning = "requests of this size or more become blocks with guards; smaller ones go to the "
                "malloc underneath"},
    {AT(guard_pages), .name = "guard_pages", .preset = "1", .type = &value_count, .most = 64,
     .meaning = "inaccessible pages on either side of a block"},
    {AT(fill), .name = "fill", .preset = "auto", .type = &value_choice, .choices = fills,
     .meaning =
         "how a block gets its pattern; auto: by what blocks of its size were used for so far"},
    {AT(small_fill), .name = "small_fill", .preset = "yes", .type = &value_choice,
     .choices = small_fills, .changes = true,
     .meaning =
         "fill small requests too; both: and when they are freed, with the pattern's complement"},
    {AT(cache_size), .name = "cache_size", .preset = "4G", .type = &value_size, .most = 64 * TERA,
     .changes = true,
     .meaning = "address space of freed blocks that stays mapped for the next ones"},
    {AT(retain_size), .name = "retain_size", .preset = "512M", .type = &value_size,
     .most = 64 * TERA, .changes = true,
     .meaning = "memory of freed blocks that is kept, rewritten with the pattern, for the next "
                "ones (fill=auto)"},
    {AT(on_free), .name = "on_free", .preset = "retain", .type = &value_choice, .choices = on_frees,
     .changes = true,
     .meaning = "what free does with a block's pages: keep those that are usually written "
                "(fill=auto), drop all, or make them inaccessible until later frees push them "
                "out"},
    {AT(quarantine_size), .name = "quarantine_size", .preset = "16G", .type = &value_size,
     .most = 64 * TERA, .changes = true,
     .meaning = "address space of blocks in quarantine; a quarter of reserve at most"},
    {AT(quarantine_blocks), .name = "quarantine_blocks", .preset = "16384", .type = &value_count,
     .most = 1000000, .changes = true, .meaning = "how many blocks are in quarantine at most"},
    {AT(release_interval), .name = "release_interval", .preset = "1000", .type = &value_interval,
     .most = 86400000, .changes = true,
     .meaning = "how long freed blocks stay mapped, and their memory is kept"},
    {AT(backend), .name = "backend", .preset = "auto", .type = &value_backend, .choices = backends,
     .meaning = "what supplies the pattern; none: memset"},
    {AT(tag), .name = "tag", .preset = "off", .type = &value_tag, .most = 15,
     .meaning = "Arm memory tags on blocks, where there are any; auto: by chance, none twice in a "
                "row or side by side"},
    {AT(tag_check), .name = "tag_check", .preset = "sync", .type = &value_choice,
     .choices = tag_checks,
     .meaning = "how accesses are checked against tags; asymm: as the processor prefers"},
    {AT(without), .name = "without", .preset = "none", .type = &value_features,
     .meaning = "kernel features to do without, each by its fallback"},
    {AT(reserve), .name = "reserve", .preset = "8T", .type = &value_size, .least = 64 << 20,
     .most = 64 * TERA,
     .meaning = "address space that blocks may lie in; no more is reserved than they need"},
    {AT(report), .name = "report", .preset = "no", .type = &value_destination, .choices = flags,
     .meaning = "report faults in the heap, and misuse, with block and call stacks: to standard "
                "error, or there as JSON"},
    {AT(stacks), .name = "stacks", .preset = "0", .type = &value_stacks, .most = 64,
     .changes = true, .meaning = "call stacks of allocations and frees for the report"},
    {AT(slack_check), .name = "slack_check", .preset = "no", .type = &value_choice,
     .choices = slack_checks,
     .meaning = "whether free looks for writes around a block too short to reach its guards; all: "
                "around small ones too, which take 16 bytes more, and in a table 50 to 100"},
    {AT(trace), .name = "trace", .preset = "", .type = &value_destination,
     .meaning = "where allocations are counted by call stack, for patalloc hunt"},
    {AT(select), .name = "select", .preset = "", .type = &value_destination,
     .meaning = "a file of patalloc hunt's that tells which allocations hold another pattern"},
    {AT(on_error), .name = "on_error", .preset = "abort", .type = &value_choice, .choices = errors,
     .changes = true, .meaning = "what follows the report of a misuse"},
    {AT(sandbox), .name = "sandbox", .preset = "no", .type = &value_choice, .choices = flags,
     .meaning = "make at once all system calls that malloc does not make, and none later: for "
                "programs with a seccomp filter that is not installed by way of prctl(2)"},
    {AT(count), .name = "count", .preset = "no", .type = &value_choice, .choices = flags,
     .changes = true, .meaning = "count small requests and dirtied pages in the stats too"},
    {AT(stats), .name = "stats", .preset = "", .type = &value_destination,
     .meaning = "where the stats go at exit, as JSON"},
};
enum { OPTIONS = sizeof rules / sizeof *rules };
_Static_assert(sizeof rules / sizeof *rules <= OPTIONS_MOST, "callers have room for so many");

static void *value_of(struct options *options, const struct rule *rule) {
  return (char *)options + rule->offset;
}

static const void *value_in(const struct options *options, const struct rule *rule) {
  return (const char *)options + rule->offset;
}

bool option_describe(int index, struct option_text *option, struct text *allowed) {
  if (index < 0 || index >= OPTIONS) return false;
  const struct rule *rule = &rules[index];
  *option = (struct option_text){rule->name, rule->preset, rule->meaning};
  rule->type->describe(rule, allowed);
  return true;
}

/* Strings of options */

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
    text_string(text, rules[i].name);
    first = false;
  }
}

static bool parse_option(struct options *options, const char *option, size_t length,
                         struct text *complaint) {
  size_t name = text_until(option, length, '=');
  bool equals = name < length;
  int index = 0;
  while (index < OPTIONS && !text_is(rules[index].name, option, name)) index++;
  if (!equals || index == OPTIONS) {
    complain(complaint, option, length,
             equals ? "no such option; allowed: " : "not key=value; allowed keys: ");
    list_names(complaint, false);
    return false;
  }
  const struct rule *rule = &rules[index];
  const char *value = option + name + 1;
  if (rule->type->parse(rule, value, length - name - 1, value_of(options, rule))) return true;
  complain(complaint, option, length, "bad value; allowed: ");
  rule->type->describe(rule, complaint);
  return false;
}

bool options_parse(struct options *options, const char *string, struct text *complaint) {
  struct backend before = options->backend;
  bool good = true;
  while (*string) {
    const char *end = end_of_option(string);
    if (options->backend.kind != BACKEND_ZERO) before = options->backend;
    good &= parse_option(options, string, (size_t)(end - string), complaint);
    string = *end ? end + 1 : end;
  }
  if (options->backend.kind != BACKEND_ZERO || (options->pattern.size && !options->pattern.word))
    return good;
  options->backend = before;
  complain(complaint, "backend=zero", text_length("backend=zero"),
           "bad value; allowed with pattern=zero only");
  return false;
}

void options_default(struct options *options) {
  memset(options, 0, sizeof *options);
  for (const struct rule *rule = rules; rule < rules + OPTIONS; rule++)
    rule->type->parse(rule, rule->preset, text_length(rule->preset), value_of(options, rule));
}

void options_format(const struct options *options, const char *between, struct text *text) {
  for (const struct rule *rule = rules; rule < rules + OPTIONS; rule++) {
    text_string(text, rule == rules ? "" : between);
    text_string(text, rule->name);
    text_string(text, "=");
    rule->type->format(value_in(options, rule), rule, text);
  }
}

/* Change */

RARE static bool same(const struct options *a, const struct options *b, const struct rule *rule) {
  char one[DESTINATION_MOST + 32], other[DESTINATION_MOST + 32];
  struct text first = TEXT(one), second = TEXT(other);
  one[0] = other[0] = 0;
  rule->type->format(value_in(a, rule), rule, &first);
  rule->type->format(value_in(b, rule), rule, &second);
  return text_is(one, other, text_length(other));
}

bool options_change(struct options *options, const char *string, struct text *complaint) {
  struct options changed = *options;
  bool good = options_parse(&changed, string, complaint);
  for (const struct rule *rule = rules; rule < rules + OPTIONS; rule++) {
    if (rule->changes || same(options, &changed, rule)) continue;
    complain(complaint, rule->name, text_length(rule->name),
             "can't be changed once the heap is made, or the program started; can be: ");
    list_names(complaint, true);
    good = false;
  }
  for (const struct rule *rule = rules; good && rule < rules + OPTIONS; rule++)
    if (rule->changes) rule->type->copy(value_of(options, rule), value_in(&changed, rule));
  return good;
}
