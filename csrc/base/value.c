/* The types of options' values (see value.h). */
#include "base/value.h"

#include <string.h>

/* Numbers */

static int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 16;
}

/* Reads the leading number in base 10 or, after 0x, 16; returns how many digits it has, 0 for none
 * or too many. */
static size_t read_number(const char **string, const char *end, uint64_t *number) {
  int base = 10;
  if (end - *string > 2 && (*string)[0] == '0' && ((*string)[1] | 32) == 'x')
    base = 16, *string += 2;
  size_t digits = 0;
  for (*number = 0; *string < end && digit_of(**string) < base; ++*string, digits++)
    if (__builtin_mul_overflow(*number, (uint64_t)base, number) ||
        __builtin_add_overflow(*number, (uint64_t)digit_of(**string), number))
      return 0;
  return digits;
}

static bool is_number(const char *string, size_t length, uint64_t most, uint64_t *number) {
  const char *at = string, *end = string + length;
  return read_number(&at, end, number) && at == end && *number <= most;
}

static bool has_prefix(const char *string, size_t length, const char *prefix) {
  return length >= text_length(prefix) && text_past(string, prefix);
}

static bool is_number_after(const char *string, size_t length, const char *prefix,
                            uint64_t *number) {
  size_t skipped = text_length(prefix);
  return has_prefix(string, length, prefix) &&
         is_number(string + skipped, length - skipped, INT32_MAX, number);
}

RARE static void describe_range(const struct rule *rule, struct text *text) {
  text_decimal(text, rule->least);
  text_string(text, " to ");
  text_decimal(text, rule->most);
}

/* Sizes and counts */

static bool read_size(const char *string, size_t length, uint64_t *size) {
  const char *at = string, *end = string + length;
  if (!read_number(&at, end, size)) return false;
  if (at == end) return true;
  size_t unit = text_until("KMGT", 4, (char)(*at & ~0x20)); /* in upper case */
  if (unit == 4 || at + 1 != end) return false;
  unsigned shift = 10 * (unsigned)(1 + unit);
  if (*size > UINT64_MAX >> shift) return false;
  *size <<= shift;
  return true;
}

static bool parse_size(const struct rule *rule, const char *string, size_t length, void *value) {
  uint64_t size;
  if (!read_size(string, length, &size) || size < rule->least || size > rule->most) return false;
  *(_Atomic size_t *)value = size;
  return true;
}

RARE static void format_size(const void *value, const struct rule *rule, struct text *text) {
  (void)rule;
  text_decimal(text, *(const _Atomic size_t *)value);
}

static void copy_size(void *value, const void *from) {
  *(_Atomic size_t *)value = *(const _Atomic size_t *)from;
}

static void say_size(struct text *text, uint64_t size) {
  unsigned unit = 0;
  for (; size && size % 1024 == 0 && unit < 4; unit++) size /= 1024;
  text_decimal(text, size);
  text_span(text, &"KMGT"[unit ? unit - 1 : 0], unit ? 1 : 0);
}

RARE static void describe_size(const struct rule *rule, struct text *text) {
  text_string(text, "a number of bytes, or with K, M, G or T, ");
  say_size(text, rule->least);
  text_string(text, " to ");
  say_size(text, rule->most);
}

const struct value_type value_size = {parse_size, format_size, copy_size, describe_size};
const struct value_type value_count = {parse_size, format_size, copy_size, describe_range};

/* Intervals */

static bool parse_interval(const struct rule *rule, const char *string, size_t length,
                           void *value) {
  uint64_t number;
  bool never = text_is("-1", string, length);
  if (!never && !is_number(string, length, rule->most, &number)) return false;
  *(_Atomic int64_t *)value = never ? -1 : (int64_t)number;
  return true;
}

RARE static void format_interval(const void *value, const struct rule *rule, struct text *text) {
  int64_t interval = *(const _Atomic int64_t *)value;
  (void)rule;
  text_string(text, interval < 0 ? "-" : "");
  text_decimal(text, (uint64_t)(interval < 0 ? 1 : interval));
}

static void copy_interval(void *value, const void *from) {
  *(_Atomic int64_t *)value = *(const _Atomic int64_t *)from;
}

RARE static void describe_interval(const struct rule *rule, struct text *text) {
  text_string(text, "milliseconds, ");
  describe_range(rule, text);
  text_string(text, ", or -1 for never");
}

const struct value_type value_interval = {parse_interval, format_interval, copy_interval,
                                          describe_interval};

/* Choices */

static int choice_of(const char *const *choices, const char *string, size_t length) {
  for (int i = 0; choices[i]; i++)
    if (text_is(choices[i], string, length)) return i;
  return -1;
}

static bool parse_choice(const struct rule *rule, const char *string, size_t length, void *value) {
  int choice = choice_of(rule->choices, string, length);
  if (choice >= 0) *(_Atomic int *)value = choice;
  return choice >= 0;
}

RARE static void format_choice(const void *value, const struct rule *rule, struct text *text) {
  text_string(text, rule->choices[*(const _Atomic int *)value]);
}

static void copy_choice(void *value, const void *from) {
  *(_Atomic int *)value = *(const _Atomic int *)from;
}

RARE static void describe_choice(const struct rule *rule, struct text *text) {
  for (int i = 0; rule->choices[i]; i++) {
    text_string(text, !i ? "" : rule->choices[i + 1] ? ", " : " or ");
    text_string(text, rule->choices[i]);
  }
}

const struct value_type value_choice = {parse_choice, format_choice, copy_choice, describe_choice};

/* Patterns */

static struct pattern pattern_of(uint64_t value, uint8_t size) {
  for (unsigned bits = size * 8u; bits < 64; bits *= 2) value |= value << bits;
  return (struct pattern){value, size};
}

/* The number of hex digits, and for decimals the magnitude, says how wide the value is. */
static bool read_pattern(const char *string, size_t length, struct pattern *pattern) {
  const char *end = string + length, *at = string;
  bool hex = length > 1 && (string[1] | 32) == 'x';
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

static bool parse_pattern(const struct rule *rule, const char *string, size_t length, void *value) {
  struct pattern *pattern = value;
  (void)rule;
  if (text_is("none", string, length)) return *pattern = (struct pattern){0, 0}, true;
  if (text_is("zero", string, length)) return *pattern = (struct pattern){0, 1}, true;
  return read_pattern(string, length, pattern);
}

RARE static void format_pattern(const void *value, const struct rule *rule, struct text *text) {
  const struct pattern *pattern = value;
  (void)rule;
  if (!pattern->size) return text_string(text, "none");
  text_hex(text, pattern->word & UINT64_MAX >> (64 - 8 * pattern->size), 2u * pattern->size);
}

static void copy_pattern(void *value, const void *from) {
  struct pattern *pattern = value;
  __atomic_store_n(&pattern->word, ((const struct pattern *)from)->word, __ATOMIC_RELAXED);
  __atomic_store_n(&pattern->size, ((const struct pattern *)from)->size, __ATOMIC_RELAXED);
}

RARE static void describe_pattern(const struct rule *rule, struct text *text) {
  (void)rule;
  text_string(text, "a byte (0xab, 171), a value of 2, 4 or 8 bytes in hex (0xdeadbeef), zero or "
                    "none");
}

const struct value_type value_pattern = {parse_pattern, format_pattern, copy_pattern,
                                         describe_pattern};

/* Backends */

static bool parse_backend(const struct rule *rule, const char *string, size_t length, void *value) {
  int choice = choice_of(rule->choices, string, length);
  uint64_t syscall = 0;
  if (is_number_after(string, length, "syscall:", &syscall)) choice = BACKEND_SYSCALL;
  if (choice >= 0) *(struct backend *)value = (struct backend){choice, (long)syscall};
  return choice >= 0;
}

RARE static void format_backend(const void *value, const struct rule *rule, struct text *text) {
  const struct backend *backend = value;
  if (backend->kind != BACKEND_SYSCALL) return text_string(text, rule->choices[backend->kind]);
  text_string(text, "syscall:");
  text_decimal(text, (uint64_t)backend->number);
}

static void copy_backend(void *value, const void *from) {
  *(struct backend *)value = *(const struct backend *)from;
}

RARE static void describe_backend(const struct rule *rule, struct text *text) {
  (void)rule;
  text_string(text, "auto, memfd, zero (pattern 0 only), device, wrap, uffd, syscall:NR or none");
}

const struct value_type value_backend = {parse_backend, format_backend, copy_backend,
                                         describe_backend};

/* Features */

static const char *const *feature_names;

void value_name_features(const char *const *names) {
  feature_names = names;
}

static bool parse_features(const struct rule *rule, const char *string, size_t length,
                           void *value) {
  uint32_t chosen = 0;
  const char *end = string + length;
  bool none = text_is("none", string, length);
  (void)rule;
  for (size_t name; !none && string <= end; string += name + 1) {
    name = text_until(string, (size_t)(end - string), ',');
    int feature = choice_of(feature_names, string, name);
    if (feature < 0) return false;
    chosen |= 1u << feature;
  }
  *(_Atomic uint32_t *)value = chosen;
  return true;
}

RARE static void format_features(const void *value, const struct rule *rule, struct text *text) {
  uint32_t chosen = *(const _Atomic uint32_t *)value;
  (void)rule;
  if (!chosen) return text_string(text, "none");
  for (int i = 0, count = 0; feature_names[i]; i++) {
    if (!(chosen >> i & 1)) continue;
    text_string(text, count++ ? "," : "");
    text_string(text, feature_names[i]);
  }
}

static void copy_bits(void *value, const void *from) {
  *(_Atomic uint32_t *)value = *(const _Atomic uint32_t *)from;
}

RARE static void describe_features(const struct rule *rule, struct text *text) {
  (void)rule;
  text_string(text, "none, or names joined by commas, of: ");
  for (int i = 0; feature_names[i]; i++) {
    text_string(text, i ? ", " : "");
    text_string(text, feature_names[i]);
  }
}

const struct value_type value_features = {parse_features, format_features, copy_bits,
                                          describe_features};

/* Tags */

static bool parse_tag(const struct rule *rule, const char *string, size_t length, void *value) {
  uint64_t number;
  int tag = text_is("off", string, length) ? TAG_OFF : TAG_AUTO;
  if (tag == TAG_AUTO && !text_is("auto", string, length)) {
    if (!is_number(string, length, rule->most, &number)) return false;
    tag = (int)number;
  }
  *(_Atomic int *)value = tag;
  return true;
}

RARE static void format_tag(const void *value, const struct rule *rule, struct text *text) {
  int tag = *(const _Atomic int *)value;
  (void)rule;
  if (tag < 0) return text_string(text, tag == TAG_AUTO ? "auto" : "off");
  text_decimal(text, (uint64_t)tag);
}

RARE static void describe_tag(const struct rule *rule, struct text *text) {
  text_string(text, "auto, off, or ");
  describe_range(rule, text);
}

const struct value_type value_tag = {parse_tag, format_tag, copy_choice, describe_tag};

/* Stacks: the number of frames, and of how many blocks one, above */

static bool parse_stacks(const struct rule *rule, const char *string, size_t length, void *value) {
  uint64_t frames, every = 1, every_most = UINT32_MAX >> STACKS_EVERY_SHIFT;
  size_t slash = text_until(string, length, '/');
  if (!is_number(string, slash, rule->most, &frames)) return false;
  if (slash < length &&
      (!is_number(string + slash + 1, length - slash - 1, every_most, &every) || !every))
    return false;
  *(_Atomic uint32_t *)value = (uint32_t)(frames | every << STACKS_EVERY_SHIFT);
  return true;
}

RARE static void format_stacks(const void *value, const struct rule *rule, struct text *text) {
  uint32_t stacks = *(const _Atomic uint32_t *)value, every = stacks >> STACKS_EVERY_SHIFT;
  (void)rule;
  text_decimal(text, stacks & ((1u << STACKS_EVERY_SHIFT) - 1));
  if (every == 1) return;
  text_string(text, "/");
  text_decimal(text, every);
}

RARE static void describe_stacks(const struct rule *rule, struct text *text) {
  describe_range(rule, text);
  text_string(text, " frames, or frames/K: of one block in K");
}

const struct value_type value_stacks = {parse_stacks, format_stacks, copy_bits, describe_stacks};

/* Samples: one in so many, of which one is all */

static bool parse_sample(const struct rule *rule, const char *string, size_t length, void *value) {
  uint64_t number = 1;
  bool all = text_is("all", string, length);
  if (!all && !is_number(string, length, rule->most, &number)) return false;
  *(_Atomic uint32_t *)value = (uint32_t)number;
  return true;
}

RARE static void format_sample(const void *value, const struct rule *rule, struct text *text) {
  uint32_t number = *(const _Atomic uint32_t *)value;
  (void)rule;
  if (number == 1) return text_string(text, "all");
  text_decimal(text, number);
}

RARE static void describe_sample(const struct rule *rule, struct text *text) {
  text_string(text, "all, or one in a number of ");
  describe_range(rule, text);
}

const struct value_type value_sample = {parse_sample, format_sample, copy_bits, describe_sample};

/* Destinations: words of their own may be among the choices. Another word (Yes, stderr) is more
 * likely to be a mistake than a file's name. */

static bool is_word(const char *string, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (string[i] == '/' || string[i] == '.' || string[i] == '%' || string[i] == ':') return false;
  return length;
}

static bool parse_destination(const struct rule *rule, const char *string, size_t length,
                              void *value) {
  uint64_t descriptor;
  if (length >= DESTINATION_MOST) return false;
  bool known = rule->choices && choice_of(rule->choices, string, length) >= 0;
  if (is_word(string, length) && !known) return false;
  if (has_prefix(string, length, "fd:") && !is_number_after(string, length, "fd:", &descriptor))
    return false;
  memcpy(value, string, length);
  ((char *)value)[length] = 0;
  return true;
}

RARE static void format_destination(const void *value, const struct rule *rule, struct text *text) {
  (void)rule;
  text_string(text, value);
}

static void copy_destination(void *value, const void *from) {
  memcpy(value, from, DESTINATION_MOST);
}

RARE static void describe_destination(const struct rule *rule, struct text *text) {
  for (int i = 0; rule->choices && rule->choices[i]; i++) {
    text_string(text, rule->choices[i]);
    text_string(text, ", ");
  }
  text_string(text, "a path with a / or a . in it, in which %p is the process's number, or fd:N");
}

const struct value_type value_destination = {parse_destination, format_destination,
                                             copy_destination, describe_destination};
