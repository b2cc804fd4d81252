/* What traces are written and read with: arrays that grow, and tables of numbers by numbers. All
 * functions but those that free return false without memory. */
#ifndef PATALLOC_TRACE_TABLE_H
#define PATALLOC_TRACE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
  uint8_t *data;
  size_t used, capacity;
};

static inline bool bytes_reserve(struct bytes *bytes, size_t more) {
  if (bytes->capacity - bytes->used >= more) return true;
  size_t capacity = (bytes->capacity + more) * 2;
  uint8_t *data = realloc(bytes->data, capacity);
  if (!data) return false;
  bytes->data = data;
  bytes->capacity = capacity;
  return true;
}

/* LEB128, as DWARF has it (DWARF 5, 7.6). */
static inline void bytes_number(struct bytes *bytes, uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes->data[bytes->used++] = (uint8_t)(value | 0x80);
  bytes->data[bytes->used++] = (uint8_t)value;
}
enum { NUMBER_MOST = 10 }; /* bytes of one */

static inline uint64_t zigzag(int64_t value) {
  return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}
static inline int64_t unzigzag(uint64_t value) {
  return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* An array of numbers. */
struct list {
  uint32_t *data;
  size_t used, capacity;
};

static inline bool list_add(struct list *list, uint32_t value) {
  if (list->used == list->capacity) {
    size_t capacity = list->capacity * 2 + 64;
    uint32_t *data = realloc(list->data, capacity * sizeof *data);
    if (!data) return false;
    list->data = data;
    list->capacity = capacity;
  }
  list->data[list->used++] = value;
  return true;
}

/* As long as to have a value at that place; new ones are 0. */
static inline bool list_reach(struct list *list, size_t place) {
  while (list->used <= place)
    if (!list_add(list, 0)) return false;
  return true;
}

/* Values by keys other than 0: open addressing with linear probing (Knuth, The Art of Computer
 * Programming 6.4, algorithms L and R), at most half full. */
struct map {
  uint64_t *keys;
  uint32_t *values;
  unsigned log; /* of the places */
  size_t used;
};

static inline size_t map_place(const struct map *map, uint64_t key) {
  size_t mask = ((size_t)1 << map->log) - 1;
  size_t place = key * 0x9e3779b97f4a7c15 >> (64 - map->log);
  while (map->keys[place] && map->keys[place] != key) place = (place + 1) & mask;
  return place;
}

static inline bool map_find(const struct map *map, uint64_t key, uint32_t *value) {
  if (!map->used) return false;
  size_t place = map_place(map, key);
  *value = map->values[place];
  return map->keys[place];
}

static inline bool map_grow(struct map *map) {
  struct map larger = {.log = map->log ? map->log + 1 : 10, .used = map->used};
  larger.keys = calloc((size_t)1 << larger.log, sizeof *larger.keys);
  larger.values = malloc(sizeof *larger.values << larger.log);
  if (!larger.keys || !larger.values) return free(larger.keys), free(larger.values), false;
  for (size_t i = 0; map->log && i < (size_t)1 << map->log; i++) {
    if (!map->keys[i]) continue;
    size_t place = map_place(&larger, map->keys[i]);
    larger.keys[place] = map->keys[i];
    larger.values[place] = map->values[i];
  }
  free(map->keys);
  free(map->values);
  *map = larger;
  return true;
}

static inline bool map_put(struct map *map, uint64_t key, uint32_t value) {
  if (map->used * 2 >= (map->log ? (size_t)1 << map->log : 0) && !map_grow(map)) return false;
  size_t place = map_place(map, key);
  map->used += !map->keys[place];
  map->keys[place] = key;
  map->values[place] = value;
  return true;
}

/* Of a key that is there; what would not be found across the gap moves up. */
static inline void map_remove(struct map *map, uint64_t key) {
  size_t mask = ((size_t)1 << map->log) - 1, gap = map_place(map, key);
  for (size_t at = (gap + 1) & mask; map->keys[at]; at = (at + 1) & mask) {
    size_t wanted = map->keys[at] * 0x9e3779b97f4a7c15 >> (64 - map->log);
    if (((at - wanted) & mask) < ((at - gap) & mask)) continue;
    map->keys[gap] = map->keys[at];
    map->values[gap] = map->values[at];
    gap = at;
  }
  map->keys[gap] = 0;
  map->used--;
}

static inline void map_drop(struct map *map) {
  free(map->keys);
  free(map->values);
}

#endif
