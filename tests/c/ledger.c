/* The ledger against an array, by chance; and by threads at a time. */
#include "check.h"

#include "os/init.h"
#include "watch/ledger.h"

patalloc_heap *heap;

enum { BLOCKS = 5000, STEPS = 300000, THREADS = 4 };
static char places[THREADS][BLOCKS][16];

static bool is(const struct small_block *block, const void *place, uint32_t size, bool held) {
  return block->address == (uintptr_t)place && block->size == size && block->held == held;
}

static void *work(void *which) {
  long me = (long)which;
  uint32_t sizes[BLOCKS] = {0}; /* 0: not entered */
  bool held[BLOCKS] = {false};
  unsigned seed = (unsigned)me + 1;
  struct small_block block;
  for (int step = 0; step < STEPS; step++) {
    int i = rand_r(&seed) % (step < STEPS / 2 ? BLOCKS : BLOCKS / 50);
    void *place = places[me][i];
    CHECK(ledger_find(place, &block) == (sizes[i] > 0));
    CHECK(!sizes[i] || is(&block, place, sizes[i], held[i]));
    switch (rand_r(&seed) % 4) {
    case 0:
      CHECK(ledger_strike(place, &block) == (sizes[i] > 0));
      CHECK(!sizes[i] || is(&block, place, sizes[i], held[i]));
      sizes[i] = 0;
      break;
    case 1:
      CHECK(ledger_hold(place, 0, &block) == (sizes[i] > 0));
      CHECK(!sizes[i] || is(&block, place, sizes[i], held[i]));
      held[i] = sizes[i];
      break;
    default:
      sizes[i] = 1 + (uint32_t)rand_r(&seed) % 100;
      held[i] = false;
      ledger_enter(&(struct small_block){.address = (uintptr_t)place, .size = sizes[i]});
    }
  }
  for (int i = 0; i < BLOCKS; i++) {
    CHECK(ledger_strike(places[me][i], &block) == (sizes[i] > 0));
    CHECK(!ledger_find(places[me][i], &block));
  }
  return NULL;
}

int main(void) {
  pthread_t threads[THREADS];
  os_init();
  work(0);
  for (long i = 0; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, work, (void *)i));
  for (int i = 0; i < THREADS; i++) CHECK(!pthread_join(threads[i], NULL));
  return 0;
}
