/* What an event is, in a sentence. Async-signal-safe. */
#ifndef PATALLOC_SENTENCE_H
#define PATALLOC_SENTENCE_H

#include "base/text.h"
#include "watch/event.h"

const char *sentence_kind(const struct event *event);

void sentence_write(struct text *text, const struct event *event);

/* What overwritten bytes hold, in hex. */
void sentence_bytes(struct text *text, const struct event *event);

#endif
