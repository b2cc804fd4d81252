/* - : alternate stacks are as the program has them */
#include "death.h"

enum { SIZE = 1 << 15 };

static char own[SIZE];

static bool is_disabled(void) {
  stack_t now;
  return !sigaltstack(NULL, &now) && now.ss_flags == SS_DISABLE && !now.ss_sp && !now.ss_size;
}

static volatile bool there;

static void look(int number) {
  (void)number;
  char here;
  there = &here > own && &here < own + SIZE;
}

static void *use(void *unused) {
  const stack_t given = {.ss_sp = own, .ss_size = SIZE}, none = {.ss_flags = SS_DISABLE};
  struct sigaction action = {.sa_handler = look, .sa_flags = SA_ONSTACK};
  stack_t before;
  sigaction(SIGUSR1, &action, NULL);
  if (!is_disabled() || sigaltstack(&given, &before) || before.ss_flags != SS_DISABLE) exit(2);
  raise(SIGUSR1);
  if (!there) exit(3);
  if (sigaltstack(&none, &before) || before.ss_sp != own || before.ss_size != SIZE) exit(4);
  if (!is_disabled()) exit(5);
  const stack_t small = {.ss_sp = own, .ss_size = 10};
  if (!sigaltstack(&small, NULL)) exit(6);
  return unused;
}

static void *leave(void *unused) {
  pthread_exit(unused);
}

static void *wait_for_it(void *unused) {
  for (;;) pause();
  return unused;
}

static void act(void) {
  pthread_t thread;
  use(NULL);
  for (int i = 0; i < 100; i++) {
    void *(*const all[])(void *) = {use, leave, wait_for_it};
    pthread_create(&thread, NULL, all[i % 3], NULL);
    if (i % 3 == 2) pthread_cancel(thread);
    pthread_join(thread, NULL);
  }
}
