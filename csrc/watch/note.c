/* Notes (see note.h). They are in a pool, linked by what they are. */
#include "watch/note.h"

#include "base/text.h"
#include "os/files.h"
#include "os/memory.h"
#include "os/process.h"
#include "watch/recover.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { POOL = 1 << 24, BUCKETS = 1 << 12, LONGEST = 1 << 12, UNIT = 8 };

struct kept {
  uint32_t next, hash;
  char text[]; /* what was said, and the lines, each NUL-ended */
};

static _Atomic uint32_t buckets[BUCKETS]; /* numbers of kept ones */
static char *_Atomic pool;
static _Atomic uint32_t used = 1; /* in units; 0 is none */

static _Atomic uint32_t shared;
static _Thread_local uint32_t mine __attribute__((tls_model("initial-exec")));
static _Thread_local uint32_t overriding __attribute__((tls_model("initial-exec")));

static struct kept *at(uint32_t number) {
  return (struct kept *)(pool + (size_t)number * UNIT);
}

static uint32_t hash_of(const char *said, const char *lines) {
  uint32_t hash = 2166136261u; /* FNV-1a */
  for (; *said; said++) hash = (hash ^ (unsigned char)*said) * 16777619u;
  hash *= 16777619u;
  for (; *lines; lines++) hash = (hash ^ (unsigned char)*lines) * 16777619u;
  return hash;
}

static bool is_equal(const char *one, const char *other) {
  return text_is(one, other, text_length(other));
}

static const char *lines_of(const struct kept *kept) {
  return kept->text + text_length(kept->text) + 1;
}

static uint32_t look_up(uint32_t hash, const char *said, const char *lines) {
  uint32_t number = buckets[hash % BUCKETS];
  for (; number; number = at(number)->next)
    if (at(number)->hash == hash && is_equal(at(number)->text, said) &&
        is_equal(lines_of(at(number)), lines))
      return number;
  return 0;
}

static bool make_pool(void) {
  if (pool) return true;
  char *made = os_map(POOL), *none = NULL;
  if (made && !atomic_compare_exchange_strong(&pool, &none, made)) os_unmap(made, POOL);
  return pool;
}

/* Twice where two threads keep the same at once. */
static uint32_t keep(const char *said, const char *lines) {
  if (!*said && !*lines) return 0;
  uint32_t hash = hash_of(said, lines), number = look_up(hash, said, lines);
  size_t said_length = text_length(said), lines_length = text_length(lines);
  if (number || said_length + lines_length > LONGEST || !make_pool()) return number;
  size_t size = sizeof(struct kept) + said_length + lines_length + 2;
  uint32_t units = (uint32_t)((size + UNIT - 1) / UNIT);
  if (used + units > POOL / UNIT) return 0;
  number = atomic_fetch_add(&used, units);
  if (number + units > POOL / UNIT) return 0;
  struct kept *kept = at(number);
  kept->hash = hash;
  memcpy(kept->text, said, said_length + 1);
  memcpy(kept->text + said_length + 1, lines, lines_length + 1);
  uint32_t first = buckets[hash % BUCKETS];
  do kept->next = first;
  while (!atomic_compare_exchange_weak(&buckets[hash % BUCKETS], &first, number));
  return number;
}

/* What is longer is cut. */
void note_say(const char *said) {
  char text[LONGEST / 2];
  size_t length = said ? text_length(said) : 0;
  if (length >= sizeof text) length = sizeof text - 1;
  memcpy(text, said ? said : "", length);
  text[length] = 0;
  mine = keep(text, "");
  if (os_thread_id() == (uint32_t)os_process_id()) shared = mine;
}

uint32_t note_now(void) {
  return overriding ? overriding : mine ? mine : shared;
}

uint32_t note_lines(const char *lines) {
  return keep("", lines);
}

uint32_t note_with_lines(uint32_t lines) {
  return keep(note_find(note_now()).said, note_find(lines).lines);
}

void note_override(uint32_t number) {
  overriding = number;
}

struct note note_find(uint32_t number) {
  if (!number || !pool || number >= used) return (struct note){"", ""};
  return (struct note){at(number)->text, lines_of(at(number))};
}

/* Lines now */

static struct {
  void (*function)(int);
  int argument, descriptor;
  struct os_identity identity; /* of the descriptor, so that no other one is read */
} asked;

void note_lines_from(void (*function)(int), int argument, int descriptor) {
  asked.function = NULL;
  asked.argument = argument;
  asked.descriptor = descriptor;
  if (function && os_identify(descriptor, &asked.identity, NULL)) asked.function = function;
}

static void ask(void *unused) {
  (void)unused;
  asked.function(asked.argument);
}

/* As much as there is, and no more is left. */
static size_t empty_pipe(char *text, size_t capacity) {
  char rest[512];
  size_t length = 0;
  for (;;) {
    bool fits = length < capacity;
    long got = syscall(SYS_read, asked.descriptor, fits ? text + length : rest,
                       fits ? capacity - length : sizeof rest);
    if (got <= 0) return length;
    if (fits) length += (size_t)got;
  }
}

/* The whole lines that name a place, up to so many; in place. */
static void keep_places(char *text, size_t length) {
  enum { LINES = 8 };
  static const char begin[] = "  File ";
  size_t kept = 0;
  for (size_t at = 0, lines = 0; lines < LINES;) {
    size_t end = at;
    while (end < length && text[end] != '\n') end++;
    if (end == length) break;
    end++;
    bool is_place = end - at >= sizeof begin && !memcmp(text + at, begin, sizeof begin - 1);
    if (is_place) {
      memmove(text + kept, text + at, end - at);
      kept += end - at;
      lines++;
    }
    at = end;
  }
  text[kept] = 0;
}

void note_read_lines(char *lines, size_t capacity) {
  *lines = 0;
  if (!asked.function || !os_is(asked.descriptor, &asked.identity)) return;
  empty_pipe(lines, 0); /* of a report that ended early */
  bool said = recover_try_all(ask, NULL);
  size_t length = empty_pipe(lines, capacity);
  keep_places(lines, said ? length : 0);
}
