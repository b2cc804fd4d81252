/* Blocks of each kind, their addresses, and then it waits; or dies. */
#include "check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline)) static void *make(size_t size) {
  char *made = malloc(size);
  made[0] = 1;
  return made;
}

__attribute__((noinline)) static void give(void *block) {
  free(block);
}

static void *in_a_thread(void *unused) {
  (void)unused;
  return make(2 << 20);
}

void *volatile live, *volatile freed, *volatile large, *volatile others;

int main(int count, char **arguments) {
  (void)arguments;
  pthread_t thread;
  void *made;
  for (int i = 0; i < 5000; i++) make(16 + i % 50); /* so that tables grow */
  pthread_create(&thread, NULL, in_a_thread, NULL);
  pthread_join(thread, &made);
  others = made;
  live = make(40);
  freed = make(100);
  give(freed);
  large = make(1 << 20);
  printf("%p %p %p %p %p\n", live, freed, large, others, (void *)&live);
  fflush(stdout);
  if (count > 1) abort();
  pause();
}
