/* Sentences (see sentence.h). */
#include "watch/sentence.h"

static const char *const kinds[] = {
    [EVENT_OVERFLOW] = "heap-buffer-overflow",
    [EVENT_UNDERFLOW] = "heap-buffer-underflow",
    [EVENT_USE_AFTER_FREE] = "use-after-free",
    [EVENT_WILD_ACCESS] = "wild-access",
    [EVENT_TAG_MISMATCH] = "tag-mismatch",
    [EVENT_DOUBLE_FREE] = "double-free",
    [EVENT_INVALID_FREE] = "invalid-free",
    [EVENT_MISMATCH] = "alloc-dealloc-mismatch",
    [EVENT_LEAK] = "leak",
    [EVENT_STILL_REACHABLE] = "still-reachable",
    [EVENT_NULL] = "null-pointer",
    [EVENT_STACK_OVERFLOW] = "stack-overflow",
    [EVENT_WILD_JUMP] = "wild-jump",
    [EVENT_UNINITIALISED] = "uninitialised-pointer",
    [EVENT_ABORT] = "abort",
    [EVENT_SIGNAL] = "fatal-signal",
};

const char *sentence_kind(const struct event *event) {
  return kinds[event->kind];
}

static void say_tags(struct text *text, const struct event *event) {
  text_around(text, "the pointer's tag is ", (uint64_t)event->tags[0], "");
  text_around(text, ", the memory's is ", (uint64_t)event->tags[1], "");
}

static void say_block(struct text *text, const struct event *event) {
  text_with_article(text, event->size);
  text_string(text, "-byte block at ");
  text_hex(text, event->block, 1);
}

static void say_place(struct text *text, const struct event *event) {
  static const char *const places[] = {[PLACE_BEFORE] = "before the start of ",
                                       [PLACE_INSIDE] = "inside ",
                                       [PLACE_AFTER] = "past the end of "};
  if (event->distance || event->place == PLACE_INSIDE)
    text_around(text, "", event->distance, event->distance == 1 ? " byte " : " bytes ");
  text_string(text, places[event->place]);
  text_string(text, event->live ? "" : "what was ");
  say_block(text, event);
  text_string(text, event->released ? ", released since" : "");
}

void sentence_bytes(struct text *text, const struct event *event) {
  for (unsigned i = 0; i < event->found; i++) {
    text_string(text, i ? " " : "");
    text_span(text, &"0123456789abcdef"[event->bytes[i] >> 4], 1);
    text_span(text, &"0123456789abcdef"[event->bytes[i] & 15], 1);
  }
}

static void say_mismatch(struct text *text, const struct mismatch *mismatch) {
  text_string(text, "which came from ");
  text_string(text, mismatch->origin);
  if (mismatch->alignment) text_around(text, " at an alignment of ", mismatch->alignment, "");
  if (mismatch->is_sized) text_around(text, ", as one of ", mismatch->told_size, " bytes");
  if (mismatch->told_alignment != mismatch->alignment && mismatch->told_alignment)
    text_around(text, ", as if at an alignment of ", mismatch->told_alignment, "");
  else if (mismatch->told_alignment != mismatch->alignment)
    text_string(text, ", as if at none");
  text_string(text, ": ");
}

/* Of an address that a function of the family was given. */
static void say_why(struct text *text, const struct event *event) {
  if (event->place == PLACE_UNKNOWN) {
    text_string(text, "which was never returned, or its memory has been released since");
    return;
  }
  if (event->kind == EVENT_MISMATCH) {
    say_mismatch(text, &event->mismatch);
  } else if (event->foreign) {
    text_string(text, "which belongs to another heap: ");
  } else if (event->kind != EVENT_INVALID_FREE) {
    text_string(text, "which was freed already: ");
  } else if (event->tags[0] >= 0) {
    text_string(text, "which is stale (");
    say_tags(text, event);
    text_string(text, "): now there is ");
  } else {
    text_string(text, "which lies ");
    return say_place(text, event);
  }
  say_block(text, event);
}

static void say_leaked(struct text *text, const struct event *event) {
  const struct leaked *leaked = &event->leaked;
  text_around(text, "", leaked->blocks, leaked->blocks == 1 ? " block of " : " blocks of ");
  text_around(text, "", leaked->bytes, leaked->bytes == 1 ? " byte" : " bytes");
  text_string(text, leaked->blocks == 1 ? "" : " in all");
  text_string(text, event->kind == EVENT_LEAK ? ", which nothing points to"
                                              : ", which something points to");
  text_string(text, leaked->blocks == 1 ? ", at " : ", one of them at ");
  text_hex(text, event->block, 1);
}

void sentence_write(struct text *text, const struct event *event) {
  text_string(text, kinds[event->kind]);
  text_string(text, ": ");
  if (event->leaked.blocks) return say_leaked(text, event);
  if (event->death) return text_string(text, event->death->cause);
  if (event->found) {
    text_string(text, "found by ");
    text_string(text, event->call);
    text_string(text, ": write ");
    say_place(text, event);
    text_string(text, ": ");
    return sentence_bytes(text, event);
  }
  if (event->refused) {
    text_string(text, event->call);
    text_string(text, event->begun ? " stops: it would " : " fails with EFAULT: it would ");
    text_string(text, event->access);
    text_string(text, " at ");
    text_hex(text, event->address, 1);
    if (event->place != PLACE_UNKNOWN) text_string(text, ", "), say_place(text, event);
    return;
  }
  text_string(text, event->call ? event->call : event->access);
  if (!event->address) {
    text_string(text, " before this one, at an address that is not known");
    return;
  }
  text_string(text, event->call ? " of " : " at ");
  text_hex(text, event->address, 1);
  if (event->kind == EVENT_TAG_MISMATCH) {
    text_string(text, ": ");
    say_tags(text, event);
  }
  if (!event->call && event->place == PLACE_UNKNOWN) return;
  text_string(text, ", ");
  (event->call ? say_why : say_place)(text, event);
}
