/* JSON objects (see json.h). */
#include "base/json.h"

void json_key(const struct json *json, const char *key) {
  struct text *text = json->text;
  bool first = text->length < text->capacity && text->data[text->length - 1] == '{';
  text_string(text, first ? "" : ",");
  text_string(text, json->before);
  text_string(text, "\"");
  text_string(text, key);
  text_string(text, "\":");
  text_string(text, json->between);
}

void json_number(const struct json *json, const char *key, uint64_t value) {
  json_key(json, key);
  text_decimal(json->text, value);
}

void json_string(const struct json *json, const char *key, const char *value) {
  json_key(json, key);
  text_quoted(json->text, value, text_length(value));
}

void json_hex(const struct json *json, const char *key, uint64_t value) {
  json_key(json, key);
  text_string(json->text, "\"");
  text_hex(json->text, value, 1);
  text_string(json->text, "\"");
}
