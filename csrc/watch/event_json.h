/* Events as JSON. Async-signal-safe, but that one thread at a time has what is told. */
#ifndef PATALLOC_EVENT_JSON_H
#define PATALLOC_EVENT_JSON_H

#include "base/json.h"
#include "watch/event.h"
#include "watch/modules.h"

enum { SENTENCE_MOST = 1024 }; /* bytes */

/* What is told with an event: its stack, the allocation's and the free's, those of the first
 * registers' blocks, and the files that their code is from. */
enum { TOLD_EVENT = 3, TOLD_REGISTERS = 4, TOLD_STACKS = TOLD_EVENT + 2 * TOLD_REGISTERS };
struct told {
  const char *note; /* what the thread is at (note.h) */
  char lines[2048]; /* and its interpreter's lines */
  struct stack stacks[TOLD_STACKS];
  unsigned left_out_before; /* the frame of the first one before which calls are left out */
  struct modules modules;
};

/* The two of a register; of no frames, if it is not one of those. */
const struct stack *told_of_register(const struct told *told, unsigned number);

/* A line. */
void event_json_write(struct text *text, const struct event *event, const struct told *told);

/* Of it the members that say where the address lies, and of which block; none where there is none.
 * When it was allocated and freed is told from now
 * back; or from `since` on (os_milliseconds), where that is given. */
void event_json_place(struct json *json, const struct event *event);
void event_json_block(struct json *json, const struct event *event, const struct told *told,
                      const uint32_t *since);

#endif
