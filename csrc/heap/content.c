/* What the blocks of a heap hold (see content.h). */
#include "heap/content.h"

#include "os/memory.h"
#include "os/process.h"

#define EACH_CONTENT(contents, content)                                                            \
  for (struct content *content = (contents)->all; content; content = content->next)

/* Refpages. With pattern=none blocks come from one, too: of zeros. */

static bool wants_refpage(const struct contents *contents) {
  const struct options *options = contents->options;
  bool patterned = options->fill != FILL_MEMSET || !options->pattern.size;
  return patterned && options->backend.kind != BACKEND_NONE && !contents->orphaned;
}

static void choose_refpage(struct contents *contents, struct content *content) {
  const struct options *options = contents->options;
  content->asked = os_milliseconds();
  struct refpage *found = contents->tagged ? refpage_get_tagged(options, content->pattern)
                                           : refpage_get(options, content->pattern);
  content->learns =
      options->fill == FILL_AUTO && found && found != &refpage_zero && !contents->tagged;
  content->refpage = found;
}

static bool has_refpage(struct contents *contents, struct content *content) {
  enum { WHILE = 1000 }; /* milliseconds */
  if (content->refpage || !wants_refpage(contents)) return content->refpage;
  if (os_milliseconds() - content->asked < WHILE) return false;
  lock_take(contents->lock);
  if (!content->refpage) choose_refpage(contents, content);
  lock_drop(contents->lock);
  return content->refpage;
}

/* Choosing */

static struct content *add(struct contents *contents, struct pattern pattern) {
  struct content *content = os_map(page_up(sizeof *content));
  if (!content) return NULL;
  content->pattern = pattern;
  if (wants_refpage(contents)) choose_refpage(contents, content);
  content->next = contents->all;
  contents->all = content;
  return content;
}

bool content_choose(struct contents *contents, struct pattern pattern) {
  struct content *content = contents->all;
  while (content && content->pattern.word != pattern.word) content = content->next;
  if (!content) content = add(contents, pattern);
  if (content) contents->now = content;
  return content;
}

/* Arenas */

static unsigned shard_of_thread(void) {
  static _Atomic unsigned threads;
  static _Thread_local unsigned mine __attribute__((tls_model("initial-exec"))); /* from 1 */
  if (!mine) mine = 1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % SHARDS;
  return mine - 1;
}

static struct refpage *zeros_of(const struct contents *contents) {
  if (!contents->tagged) return &refpage_zero;
  struct refpage *tagged = refpage_get_tagged(contents->options, refpage_zero.pattern);
  return tagged ? tagged : &refpage_zero_tagged;
}

static void prepare(struct contents *contents, struct content *content, struct shard *shard,
                    enum arena_kind kind) {
  struct arena *arena = &shard->arenas[kind];
  struct pattern zero = refpage_zero.pattern, pattern = content->pattern;
  struct refpage *stored = contents->tagged ? &refpage_zero_tagged : &refpage_zero;
  arena->refpage = kind == PATTERNED ? content->refpage
                   : kind == ZEROED  ? zeros_of(contents)
                                     : stored;
  arena->pattern = pattern;
  /* With pattern=none kept pages must be rewritten all the same: with zeros. */
  arena->content = kind == ZEROED || !pattern.size ? zero : pattern;
  arena->huge_page = kind == STORED ? contents->huge_page : 0;
  arena->options = contents->options;
  arena->stats = &shard->stats;
  arena->usage = contents->usage;
  arena->densities = kind == ZEROED ? shard->zeroed_densities : shard->patterned_densities;
  arena->ready = true;
}

/* Not before it is used: an arena has some pages of tables. */
static struct arena *arena_of(struct contents *contents, struct content *content,
                              enum arena_kind kind) {
  struct shard *shard = &content->shards[shard_of_thread()];
  struct arena *arena = &shard->arenas[kind];
  if (arena->ready) return arena;
  lock_take(contents->lock);
  if (!arena->ready) prepare(contents, content, shard, kind);
  lock_drop(contents->lock);
  return arena;
}

struct arena *content_patterned(struct contents *contents) {
  struct content *content = contents->now;
  return has_refpage(contents, content) ? arena_of(contents, content, PATTERNED) : NULL;
}

struct arena *content_arena(struct contents *contents, enum arena_kind kind) {
  return arena_of(contents, contents->now, kind);
}

bool content_comes_patterned(const struct contents *contents, const struct arena *arena,
                             const struct refpage *refpage) {
  return !contents->orphaned && refpage->pattern.word == arena->pattern.word;
}

/* All of them */

static bool holds(const struct content *content, const struct arena *arena) {
  return (uintptr_t)arena - (uintptr_t)content < sizeof *content;
}

bool content_has(const struct contents *contents, const struct arena *arena) {
  EACH_CONTENT(contents, content)
  if (holds(content, arena)) return true;
  return false;
}

struct arena *content_next_arena(const struct contents *contents, const struct arena *arena) {
  EACH_CONTENT(contents, content) {
    if (arena && !holds(content, arena)) continue;
    for (int i = 0; i < SHARDS * ARENAS; i++) {
      struct arena *next = &content->shards[i / ARENAS].arenas[i % ARENAS];
      if (next > arena && next->ready) return next;
    }
    arena = NULL;
  }
  return NULL;
}

struct stats *content_stats(struct contents *contents) {
  return &contents->now->shards[shard_of_thread()].stats;
}

uint64_t content_stats_sum(const struct contents *contents, enum stat stat) {
  uint64_t total = 0;
  EACH_CONTENT(contents, content)
  for (int i = 0; i < SHARDS; i++) total += stats_get(&content->shards[i].stats, stat);
  return total;
}

void content_restart(struct contents *contents) {
  EACH_CONTENT(contents, content) {
    if (content->refpage && !refpage_outlives_fork(content->refpage)) {
      content->refpage = NULL;
      content->learns = false;
      contents->orphaned = true;
    }
    for (int i = 0; i < SHARDS; i++) stats_restart(&content->shards[i].stats);
  }
}

void content_drop_all(struct contents *contents) {
  for (struct content *content = contents->all, *next; content; content = next) {
    next = content->next;
    os_unmap(content, page_up(sizeof *content));
  }
}
