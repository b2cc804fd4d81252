/* Events as JSON (see event_json.h; docs/reports.md has the schema). */
#include "watch/event_json.h"

#include "os/process.h"
#include "watch/note.h"
#include "watch/sentence.h"

static void put_stack(struct json *json, const struct stack *stack) {
  struct text *text = json->text;
  json_key(json, "stack");
  for (unsigned i = 0; i < stack->count; i++) {
    text_string(text, i ? ",\"" : "[\"");
    text_hex(text, stack->frames[i], 1);
    text_string(text, "\"");
  }
  text_string(text, stack->count ? "]" : "[]");
}

static void put_moment(struct json *json, const char *key, const struct moment *moment,
                       const struct stack *stack, const uint32_t *since) {
  struct note note = note_find(moment->note);
  if (!moment->thread && !stack->count && !*note.said && !*note.lines) return;
  json_key(json, key);
  json_open(json);
  if (*note.said) json_string(json, "note", note.said);
  if (*note.lines) json_string(json, "python", note.lines);
  if (moment->thread) json_number(json, "thread", moment->thread);
  if (moment->thread && since)
    json_number(json, "after_ms", moment->time - *since);
  else if (moment->thread)
    json_number(json, "age_ms", os_milliseconds() - moment->time);
  put_stack(json, stack);
  json_close(json);
}

static const char *const places[] = {NULL, "before", "inside", "after"};

void event_json_place(struct json *json, const struct event *event) {
  if (event->place) json_string(json, "place", places[event->place]);
  if (event->distance || event->place == PLACE_INSIDE)
    json_number(json, "distance", event->distance);
}

void event_json_block(struct json *json, const struct event *event, const struct told *told,
                      const uint32_t *since) {
  if (!event->place) return;
  json_key(json, "block");
  json_open(json);
  json_hex(json, "address", event->block);
  json_number(json, "size", event->size);
  json_string(json, "state", event->live ? "live" : event->released ? "released" : "freed");
  put_moment(json, "allocated", &event->history.allocated, &told->stacks[1], since);
  put_moment(json, "freed", &event->history.freed, &told->stacks[2], since);
  json_close(json);
}

static void put_bytes(struct json *json, const struct event *event) {
  json_key(json, "bytes");
  text_string(json->text, "\"");
  sentence_bytes(json->text, event);
  text_string(json->text, "\"");
}

static void put_mismatch(struct json *json, const struct mismatch *mismatch) {
  json_string(json, "origin", mismatch->origin);
  if (mismatch->is_sized) json_number(json, "told_size", mismatch->told_size);
  if (mismatch->alignment) json_number(json, "alignment", mismatch->alignment);
  if (mismatch->told_alignment) json_number(json, "told_alignment", mismatch->told_alignment);
}

const struct stack *told_of_register(const struct told *told, unsigned number) {
  static const struct stack none[2];
  return number < TOLD_REGISTERS ? &told->stacks[TOLD_EVENT + 2 * number] : none;
}

static void put_register(struct json *json, const struct death_register *each,
                         const struct stack *stacks) {
  json_open(json);
  json_string(json, "name", each->name);
  json_hex(json, "value", each->value);
  json_string(json, "place", places[each->place]);
  json_number(json, "distance", each->distance);
  json_key(json, "block");
  json_open(json);
  json_hex(json, "address", each->block);
  json_number(json, "size", each->size);
  json_string(json, "state", each->live ? "live" : "freed");
  put_moment(json, "allocated", &each->history.allocated, &stacks[0], NULL);
  put_moment(json, "freed", &each->history.freed, &stacks[1], NULL);
  json_close(json);
  json_close(json);
}

static void put_registers(struct json *json, const struct death *death, const struct told *told) {
  json_key(json, "registers");
  for (unsigned i = 0; i < death->count; i++) {
    text_string(json->text, i ? "," : "[");
    put_register(json, &death->list[i], told_of_register(told, i));
  }
  text_string(json->text, death->count ? "]" : "[]");
}

static void put_modules(struct json *json, const struct modules *modules) {
  struct text *text = json->text;
  json_key(json, "modules");
  text_string(text, "[");
  for (unsigned i = 0; i < modules->count; i++) {
    const struct module *module = &modules->list[i];
    text_string(text, i ? "," : "");
    json_open(json);
    json_string(json, "path", module->path);
    json_hex(json, "base", module->base);
    json_hex(json, "start", module->start);
    json_hex(json, "end", module->end);
    json_key(json, "build_id");
    text_string(text, "\"");
    for (unsigned at = 0; at < module->id_length; at++) {
      text_span(text, &"0123456789abcdef"[module->id[at] >> 4], 1);
      text_span(text, &"0123456789abcdef"[module->id[at] & 15], 1);
    }
    text_string(text, "\"");
    json_close(json);
  }
  text_string(text, "]");
}

void event_json_write(struct text *text, const struct event *event, const struct told *told) {
  struct json line = JSON_LINE(text), *json = &line;
  char name[OS_NAME], sentence[SENTENCE_MOST];
  struct text summary = TEXT(sentence);
  sentence[0] = 0;
  sentence_write(&summary, event);
  os_thread_name(name);
  json_open(json);
  json_number(json, "version", 1);
  json_string(json, "kind", sentence_kind(event));
  json_string(json, "summary", sentence);
  if (*told->note) json_string(json, "note", told->note);
  if (*told->lines) json_string(json, "python", told->lines);
  if (event->access) json_string(json, "access", event->access);
  if (event->call) json_string(json, "call", event->call);
  if (event->signal) json_number(json, "signal", (uint64_t)event->signal);
  if (event->address) json_hex(json, "address", event->address);
  event_json_place(json, event);
  if (event->tags[0] >= 0) json_number(json, "pointer_tag", (uint64_t)event->tags[0]);
  if (event->tags[0] >= 0) json_number(json, "memory_tag", (uint64_t)event->tags[1]);
  if (event->found) put_bytes(json, event);
  if (event->kind == EVENT_MISMATCH) put_mismatch(json, &event->mismatch);
  if (event->leaked.blocks) json_number(json, "blocks", event->leaked.blocks);
  if (event->leaked.blocks) json_number(json, "total_size", event->leaked.bytes);
  json_number(json, "process", (uint64_t)os_process_id());
  json_number(json, "thread", os_thread_id());
  json_string(json, "thread_name", name);
  put_stack(json, &told->stacks[0]);
  if (event->left_out) json_number(json, "left_out", event->left_out);
  if (event->left_out) json_number(json, "left_out_before", told->left_out_before);
  if (event->death) put_registers(json, event->death, told);
  event_json_block(json, event, told, NULL);
  put_modules(json, &told->modules);
  json_close(json);
  text_string(text, "\n");
}
