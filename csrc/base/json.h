/* JSON objects, written into a text (RFC 8259). All functions are async-signal-safe. */
#ifndef PATALLOC_JSON_H
#define PATALLOC_JSON_H

#include "base/text.h"

/* How objects are laid out: what stands before each key, and between key and value. */
struct json {
  struct text *text;
  const char *before, *between;
  bool begun; /* whether the innermost object has a member */
};

/* One line, and a member a line. */
#define JSON_LINE(text)  ((struct json){(text), "", "", false})
#define JSON_LINES(text) ((struct json){(text), "\n  ", " ", false})

/* An object, as a member's value or in an array too. */
void json_open(struct json *json);
void json_close(struct json *json);

/* A member's key, and members of one value. */
void json_key(struct json *json, const char *key);
void json_number(struct json *json, const char *key, uint64_t value);
void json_string(struct json *json, const char *key, const char *value);
void json_hex(struct json *json, const char *key, uint64_t value); /* as a string */

#endif
