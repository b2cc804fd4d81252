/* Heaps that threads make, use and end at the same time; and what they tell of their options.
 * Linked with the core. */
#include "check.h"

enum { THREADS = 4, ROUNDS = 60, BLOCKS = 8, SIZE = 200000 };

static const char *const options[] = {
    "reserve=16G",
    "reserve=16G:pattern=0x11:count=yes",
    "reserve=16G:fill=memset:on_free=quarantine:quarantine_blocks=3",
    "reserve=16G:report=yes:stacks=4:slack_check=all",
    "reserve=16G:backend=none:small_fill=both",
};

/* What a heap tells of its options makes another one with the same. */
static void options_are_told(const char *given) {
  char told[2048], again[2048], part[10];
  patalloc_heap *one = patalloc_heap_create(given, NULL, 0);
  CHECK(one && patalloc_heap_options(one, told, sizeof told) == strlen(told));
  CHECK(patalloc_heap_options(one, part, sizeof part) == strlen(told));
  CHECK(strlen(part) == sizeof part - 1 && !strncmp(part, told, sizeof part - 1));
  patalloc_heap *other = patalloc_heap_create(told, NULL, 0);
  CHECK(other && patalloc_heap_options(other, again, sizeof again) && !strcmp(told, again));
  for (const char *at = given; at; at = strchr(at + 1, ':')) { /* each of them, in full */
    const char *from = at + (*at == ':');
    char *option = strndup(from, strcspn(from, ":"));
    CHECK(strstr(told, option));
    (free)(option);
  }
  patalloc_heap_destroy(one);
  patalloc_heap_destroy(other);
}

static void *use(void *which) {
  for (int round = 0; round < ROUNDS; round++) {
    int kind = (int)((round + (long)which) % (long)(sizeof options / sizeof *options));
    unsigned char pattern = kind == 1 ? 0x11 : 0xab, *blocks[BLOCKS];
    patalloc_heap *own = patalloc_heap_create(options[kind], NULL, 0);
    CHECK(own);
    for (int i = 0; i < BLOCKS; i++) {
      size_t size = i % 4 ? SIZE * (size_t)i : 100;
      blocks[i] = patalloc_malloc(own, size);
      CHECK(blocks[i] && holds(blocks[i], size, pattern));
      blocks[i] = patalloc_realloc(own, blocks[i], size + SIZE);
      CHECK(blocks[i] && holds(blocks[i], size + SIZE, pattern));
    }
    for (int i = 0; i < BLOCKS; i += 2) patalloc_free(own, blocks[i]);
    CHECK(!patalloc_configure(own, "threshold=1M", NULL, 0));
    patalloc_release(own);
    for (int i = 0; i < BLOCKS; i++)
      if (i % 4 == 1) patalloc_free(own, blocks[i]);
    patalloc_heap_destroy(own); /* with what is left */
  }
  return NULL;
}

int main(void) {
  pthread_t threads[THREADS];
  options_are_told("threshold=4096:slack_check=all:stacks=4:on_free=quarantine:cache_size=8388608");
  for (long i = 0; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, use, (void *)i));
  for (int i = 0; i < THREADS; i++) CHECK(!pthread_join(threads[i], NULL));
  return 0;
}
