/* JSON objects (see json.h). */
#include "base/json.h"

void json_open(struct json *json) {
  text_string(json->text, "{");
  json->begun = false;
}

void json_close(struct json *json) {
  text_string(json->text, "}");
  json->begun = true;
}

void json_key(struct json *json, const char *key) {
  struct text *text = json->text;
  text_string(text, json->begun ? "," : "");
  text_string(text, json->before);
  text_string(text, "\"");
  text_string(text, key);
  text_string(text, "\":");
  text_string(text, json->between);
  json->begun = true;
}

void json_number(struct json *json, const char *key, uint64_t value) {
  json_key(json, key);
  text_decimal(json->text, value);
}

void json_string(struct json *json, const char *key, const char *value) {
  json_key(json, key);
  text_quoted(json->text, value, text_length(value));
}

void json_hex(struct json *json, const char *key, uint64_t value) {
  json_key(json, key);
  text_string(json->text, "\"");
  text_hex(json->text, value, 1);
  text_string(json->text, "\"");
}
