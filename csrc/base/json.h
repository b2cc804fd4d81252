/* JSON objects, written into a text (RFC 8259). All functions are async-signal-safe. */
#ifndef PATALLOC_JSON_H
#define PATALLOC_JSON_H

#include "base/text.h"

/* How an object is laid out: what stands before each key, and between key and value. */
struct json {
  struct text *text;
  const char *before, *between;
};

/* One line, and a member a line. */
#define JSON_LINE(text)  ((struct json){(text), "", ""})
#define JSON_LINES(text) ((struct json){(text), "\n  ", " "})

/* The key of a member; a comma before it where it is not the first of its object. */
void json_key(const struct json *json, const char *key);
void json_number(const struct json *json, const char *key, uint64_t value);
void json_string(const struct json *json, const char *key, const char *value);
void json_hex(const struct json *json, const char *key, uint64_t value); /* as a string */

#endif
