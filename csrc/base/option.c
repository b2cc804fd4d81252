/* The table of options, and strings of them (see option.h). */
#include "base/option.h"

#include "base/meanings.h"

#include <string.h>

static const char *const alignments[] = {"16", "8", "4", "2", "1", NULL};
static const char *const sides[] = {"right", "left", "random", NULL};
static const char *const fills[] = {"auto", "refpage", "memset", NULL};
static const char *const backends[] = {"auto", "memfd", "zero", "device",
                                       "none", "uffd",  "wrap", NULL};
static const char *const small_fills[] = {"no", "yes", "both", NULL};
static const char *const on_frees[] = {"retain", "reset", "quarantine", NULL};
static const char *const slack_checks[] = {"no", "large", "all", NULL};
static const char *const errors[] = {"abort", "continue", NULL};
static const char *const faults[] = {"die", "continue", NULL};
static const char *const tag_checks[] = {"sync", "async", "asymm", NULL};
static const char *const leaks[] = {"no", "yes", "all", NULL};
static const char *const flags[] = {"no", "yes", NULL};

#define AT(field) .offset = offsetof(struct options, field)
#define TERA      ((uint64_t)1 << 40)

static const struct rule rules[] = {
    {AT(pattern), .name = "pattern", .preset = "0xab", .type = &value_pattern, .changes = true},
    {AT(threshold), .name = "threshold", .preset = "128K", .type = &value_size, .least = 4096,
     .most = TERA, .changes = true},
    {AT(guard_pages), .name = "guard_pages", .preset = "1", .type = &value_count, .most = 64},
    {AT(guard_small), .name = "guard_small", .preset = "0", .type = &value_sample, .most = 1 << 30},
    {AT(guard_sites), .name = "guard_sites", .preset = "", .type = &value_destination},
    {AT(align), .name = "align", .preset = "16", .type = &value_choice, .choices = alignments},
    {AT(side), .name = "side", .preset = "right", .type = &value_choice, .choices = sides},
    {AT(delay), .name = "delay", .preset = "8192", .type = &value_count, .most = 8192,
     .changes = true},
    {AT(fill), .name = "fill", .preset = "auto", .type = &value_choice, .choices = fills},
    {AT(small_fill), .name = "small_fill", .preset = "yes", .type = &value_choice,
     .choices = small_fills, .changes = true},
    {AT(cache_size), .name = "cache_size", .preset = "4G", .type = &value_size, .most = 64 * TERA,
     .changes = true},
    {AT(retain_size), .name = "retain_size", .preset = "512M", .type = &value_size,
     .most = 64 * TERA, .changes = true},
    {AT(on_free), .name = "on_free", .preset = "retain", .type = &value_choice, .choices = on_frees,
     .changes = true},
    {AT(quarantine_size), .name = "quarantine_size", .preset = "16G", .type = &value_size,
     .most = 64 * TERA, .changes = true},
    {AT(quarantine_blocks), .name = "quarantine_blocks", .preset = "16384", .type = &value_count,
     .most = 1000000, .changes = true},
    {AT(release_interval), .name = "release_interval", .preset = "1000", .type = &value_interval,
     .most = 86400000, .changes = true},
    {AT(backend), .name = "backend", .preset = "auto", .type = &value_backend, .choices = backends},
    {AT(tag), .name = "tag", .preset = "off", .type = &value_tag, .most = 15},
    {AT(tag_check), .name = "tag_check", .preset = "sync", .type = &value_choice,
     .choices = tag_checks},
    {AT(without), .name = "without", .preset = "none", .type = &value_features},
    {AT(reserve), .name = "reserve", .preset = "8T", .type = &value_size, .least = 64 << 20,
     .most = 64 * TERA},
    {AT(report), .name = "report", .preset = "no", .type = &value_destination, .choices = flags},
    {AT(headlines), .name = "headlines", .preset = "yes", .type = &value_choice, .choices = flags},
    {AT(stacks), .name = "stacks", .preset = "0", .type = &value_stacks, .most = 64,
     .changes = true},
    {AT(slack_check), .name = "slack_check", .preset = "no", .type = &value_choice,
     .choices = slack_checks},
    {AT(leaks), .name = "leaks", .preset = "no", .type = &value_choice, .choices = leaks},
    {AT(trace), .name = "trace", .preset = "", .type = &value_destination},
    {AT(select), .name = "select", .preset = "", .type = &value_destination},
    {AT(record), .name = "record", .preset = "", .type = &value_destination},
    {AT(on_error), .name = "on_error", .preset = "abort", .type = &value_choice, .choices = errors,
     .changes = true},
    {AT(on_fault), .name = "on_fault", .preset = "die", .type = &value_choice, .choices = faults},
    {AT(sandbox), .name = "sandbox", .preset = "no", .type = &value_choice, .choices = flags},
    {AT(count), .name = "count", .preset = "no", .type = &value_choice, .choices = flags,
     .changes = true},
    {AT(stats), .name = "stats", .preset = "", .type = &value_destination},
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
  *option = (struct option_text){rule->name, rule->preset, option_meaning(rule->name)};
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
  if (!options->pattern.size != !changed.pattern.size) {
    complain(complaint, "pattern=none", text_length("pattern=none"),
             "can't be changed to, or from, once the heap is made, or the program started");
    good = false;
  }
  for (const struct rule *rule = rules; good && rule < rules + OPTIONS; rule++)
    if (rule->changes) rule->type->copy(value_of(options, rule), value_in(&changed, rule));
  return good;
}
