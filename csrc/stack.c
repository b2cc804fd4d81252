/* Call stacks (see stack.h). The table is a hash table without locks: stacks are only ever added,
 * at the front of their bucket's list. */
#include "stack.h"

#include "recover.h"

#include <stdatomic.h>
#include <unwind.h>

/* Taking */

struct walk {
  struct stack *stack;
  unsigned most;
  uintptr_t pc; /* not seen yet; 0: none is looked for */
};

/* A return address may be the next function's, where a call ends the function. */
static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *walked) {
  struct walk *walk = walked;
  struct stack *stack = walk->stack;
  int is_exact = 0;
  uintptr_t pc = _Unwind_GetIPInfo(context, &is_exact);
  if (!pc) return _URC_END_OF_STACK;
  if (walk->pc && pc != walk->pc) return _URC_NO_REASON;
  walk->pc = 0;
  if (!is_exact) pc--;
  if (!stack->count && recover_is_own(pc)) return _URC_NO_REASON;
  stack->frames[stack->count++] = pc;
  return stack->count < walk->most ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void walk_stack(void *walk) {
  _Unwind_Backtrace(step, walk);
}

/* The unwinder may allocate, and so come here again. */
void stack_take(struct stack *stack, unsigned most, uintptr_t pc) {
  static _Thread_local bool taking __attribute__((tls_model("initial-exec")));
  struct walk walk = {stack, most < STACK_MOST ? most : STACK_MOST, pc};
  stack->count = 0;
  if (taking || !most) return;
  taking = true;
  recover_try(walk_stack, &walk);
  taking = false;
}

/* Keeping */

enum { BUCKETS = 1 << 14, UNIT = 8 };

struct kept_stack {
  uint32_t next; /* in its bucket; 0 ends it */
  uint32_t hash, count, unused;
  uint64_t frames[];
};

static struct table {
  size_t capacity;                   /* bytes of it all */
  _Atomic size_t used;               /* bytes after that */
  _Atomic uint32_t buckets[BUCKETS]; /* numbers: places in units from the table's start */
} * _Atomic table;

static struct table *make_table(void) {
  enum { LEAST = 1 << 20, MOST = 1 << 28 };
  static _Atomic bool hopeless;
  struct table *made = NULL, *other = NULL;
  size_t size = MOST;
  for (; !made && size >= LEAST && !hopeless; size /= 2) made = os_map(size);
  hopeless = !made;
  if (!made) return NULL;
  made->capacity = size * 2;
  if (atomic_compare_exchange_strong(&table, &other, made)) return made;
  os_unmap(made, made->capacity);
  return other;
}

static struct kept_stack *stack_at(struct table *stacks, uint32_t number) {
  return (struct kept_stack *)((char *)stacks + (size_t)number * UNIT);
}

static uint32_t hash_of(const struct stack *stack) {
  uint64_t hash = stack->count;
  for (unsigned i = 0; i < stack->count; i++) {
    hash = (hash ^ stack->frames[i]) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return (uint32_t)hash;
}

static bool equals(const struct kept_stack *kept, const struct stack *stack, uint32_t hash) {
  if (kept->hash != hash || kept->count != stack->count) return false;
  unsigned i = 0;
  while (i < stack->count && kept->frames[i] == stack->frames[i]) i++;
  return i == stack->count;
}

static uint32_t add(struct table *stacks, _Atomic uint32_t *bucket, const struct stack *stack,
                    uint32_t hash) {
  size_t size = sizeof(struct kept_stack) + stack->count * sizeof(uint64_t);
  size_t at = sizeof *stacks + atomic_fetch_add(&stacks->used, size);
  if (at + size > stacks->capacity) {
    atomic_fetch_sub(&stacks->used, size);
    return 0;
  }
  uint32_t number = (uint32_t)(at / UNIT);
  struct kept_stack *kept = stack_at(stacks, number);
  kept->hash = hash;
  kept->count = stack->count;
  for (unsigned i = 0; i < stack->count; i++) kept->frames[i] = stack->frames[i];
  uint32_t first = *bucket;
  do kept->next = first;
  while (!atomic_compare_exchange_weak_explicit(bucket, &first, number, memory_order_release,
                                                memory_order_relaxed));
  return number;
}

static bool is_due(uint32_t every) {
  static _Thread_local uint32_t calls __attribute__((tls_model("initial-exec")));
  return calls++ % every == 0;
}

uint32_t stack_keep(const struct options *options) {
  uint32_t stacks = options->stacks, frames = stacks & ((1u << STACKS_EVERY_SHIFT) - 1);
  if (!frames || !is_due(stacks >> STACKS_EVERY_SHIFT)) return 0;
  struct table *kept = table ? table : make_table();
  struct stack stack;
  if (!kept) return 0;
  stack_take(&stack, frames, 0);
  if (!stack.count) return 0;
  uint32_t hash = hash_of(&stack);
  _Atomic uint32_t *bucket = &kept->buckets[hash % BUCKETS];
  uint32_t number = atomic_load_explicit(bucket, memory_order_acquire);
  for (; number; number = stack_at(kept, number)->next)
    if (equals(stack_at(kept, number), &stack, hash)) return number;
  return add(kept, bucket, &stack, hash);
}

void stack_find(uint32_t number, struct stack *stack) {
  stack->count = 0;
  if (!number) return;
  const struct kept_stack *kept = stack_at(table, number);
  for (; stack->count < kept->count; stack->count++)
    stack->frames[stack->count] = kept->frames[stack->count];
}
